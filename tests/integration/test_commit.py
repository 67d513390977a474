"""The commit script on real servers: each outcome, and that a refusal writes nothing."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from events.log import Partition, Record
from projector.errors import CannotGoOn, StoreUnavailable
from projector.project import decode_record, group_ids, known, project
from projector.readmodel.keys import Generation
from projector.store.commit import Advance, Outcome, request
from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests.poison import event
from tests.readmodel import PREFIX, check, read

ORDERS = Partition("orders", 0)
OTHER = Partition("orders", 1)


@pytest.fixture
def client(redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    store = Store(Nodes(redis_url))
    yield store
    store.nodes.close()


def commit(
    store: Store,
    generation: Generation,
    events: list[dict[str, Any]],
    start: int | None,
    partition: Partition = ORDERS,
    loaded: dict[str, bytes | None] | None = None,
) -> Outcome:
    """As the loop does it: load, project, send. `loaded` stands in for what was loaded."""
    first = start or 0
    records = [Record(partition, first + i, 0, None, json.dumps(e).encode()) for i, e in enumerate(events)]
    batch = [decode_record(record) for record in records]
    ids = group_ids(batch)
    states = store.load(generation, 0, ids) if loaded is None else loaded
    change = project({group_id: known(group_id, states[group_id]) for group_id in ids}, batch)
    return store.commit(generation, 0, request(change, {partition: Advance(start, first + len(events))})).outcome()


def dump(client: "redis.Redis") -> dict[bytes, object]:
    return {key: client.dump(key) for key in client.scan_iter()}


def test_stored_then_already(store: Store, client: "redis.Redis") -> None:
    generation = store.generation()
    events = [event(1), event(2), event(2)]
    assert commit(store, generation, events, None) is Outcome.STORED
    model = read(client)
    check(model, events)
    assert model.positions == {"orders/0": 3}
    assert model.tally == {"orders/0:received": 3, "orders/0:applied": 2, "orders/0:stale": 1}
    before = dump(client)
    again = commit(store, generation, events, None, loaded={"og_1": None, "og_2": None})
    assert again is Outcome.ALREADY
    assert dump(client) == before


def test_behind_when_redis_has_less_than_we_think(store: Store, client: "redis.Redis") -> None:
    generation = store.generation()
    assert commit(store, generation, [event(1)], None) is Outcome.STORED
    before = dump(client)
    assert commit(store, generation, [event(2)], 5) is Outcome.BEHIND
    assert dump(client) == before
    client.flushall()
    assert commit(store, generation, [event(2)], 1) is Outcome.BEHIND
    assert commit(store, generation, [event(2)], None) is Outcome.BEHIND, "without its meta there is no generation"
    assert dump(client) == {}


def test_ahead_when_another_process_has_been_there(store: Store, client: "redis.Redis") -> None:
    generation = store.generation()
    assert commit(store, generation, [event(1), event(2), event(3)], None) is Outcome.STORED
    before = dump(client)
    assert commit(store, generation, [event(2)], 1) is Outcome.AHEAD
    assert commit(store, generation, [event(1)], None) is Outcome.AHEAD
    assert dump(client) == before


def test_changed_when_another_partition_met_us_in_a_group(store: Store, client: "redis.Redis") -> None:
    generation = store.generation()
    first, second = event(1), event(2, order_group_id="og_1")
    assert commit(store, generation, [first], None) is Outcome.STORED
    before = dump(client)
    assert commit(store, generation, [second], None, OTHER, loaded={"og_1": None}) is Outcome.CHANGED
    assert dump(client) == before
    assert commit(store, generation, [second], None, OTHER) is Outcome.STORED
    check(read(client), [first, second])


@pytest.mark.parametrize("meta", [{"sealed": "1"}, {"version": "999"}, {"nonce": "another"}])
def test_sealed_when_the_generation_is_not_ours_to_write(
    store: Store, client: "redis.Redis", meta: dict[str, str]
) -> None:
    generation = store.generation()
    client.hset(PREFIX + "meta", items=[part for pair in meta.items() for part in pair])
    before = dump(client)
    assert commit(store, generation, [event(1)], None) is Outcome.SEALED
    assert dump(client) == before


def test_a_group_that_loses_its_last_order_leaves_no_trace_in_the_lists(store: Store, client: "redis.Redis") -> None:
    generation = store.generation()
    events = [event(1), event(1, "order.updated", version=2, deleted_at="2026-06-02T10:00:00Z")]
    events[1]["id"] = "evt_gone"
    assert commit(store, generation, events[:1], None) is Outcome.STORED
    assert commit(store, generation, events[1:], 1) is Outcome.STORED
    model = read(client)
    assert (model.documents, model.entries, model.texts) == ({}, {}, {})
    check(model, events)


def test_a_large_batch_passes_lua_s_stack(store: Store, client: "redis.Redis") -> None:
    generation = store.generation()
    events = [event(number) for number in range(9_000)]
    assert commit(store, generation, events, None) is Outcome.STORED
    check(read(client), events)


def test_the_script_is_sent_again_where_it_was_forgotten(store: Store, client: "redis.Redis") -> None:
    generation = store.generation()
    client.script_flush()
    assert commit(store, generation, [event(1)], None) is Outcome.STORED


def test_another_version_of_the_read_model_is_refused(store: Store, client: "redis.Redis") -> None:
    client.set("og:live", '{"number":3,"shards":1,"version":999}')
    with pytest.raises(CannotGoOn, match="has version 999, this code writes version 2"):
        store.generation()


def test_nobody_there_is_told_as_such() -> None:
    store = Store(Nodes("redis://127.0.0.1:1"))
    with pytest.raises(StoreUnavailable, match="Redis does not answer"):
        store.generation()
    sent = store.commit(Generation(0, 1, 2), 0, [b""])
    with pytest.raises(StoreUnavailable):
        sent.outcome()
