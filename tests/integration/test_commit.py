"""The commit script on real servers, and what stands in for it in the simulation: each outcome, and that a refusal
writes nothing.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from events.logs.log import Partition, Record
from projector.errors import CannotGoOn, StoreUnavailable
from projector.project import decode_record, group_ids, known, project
from projector.readmodel.schema.document import VERSION
from projector.readmodel.schema.keys import Generation
from projector.store.commit import Advance, Outcome
from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests.chaos.homes import ReadModelHome, RealHome, SimulatedHome
from tests.chaos.simulation.store import Request
from tests.poison import event
from tests.readmodel import check, read

ORDERS = Partition("orders", 0)
OTHER = Partition("orders", 1)


@pytest.fixture
def client(redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture(params=["redis", "simulated"])
def place(request: pytest.FixtureRequest, redis_url: str) -> Iterator[ReadModelHome]:
    place = RealHome(redis_url) if request.param == "redis" else SimulatedHome()
    yield place
    place.close()


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    store = Store(Nodes(redis_url))
    yield store
    store.nodes.close()


def commit(
    store: Any,
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
    outcome: Outcome = store.commit(
        generation, 0, Request(change, {partition: Advance(start, first + len(events))})
    ).outcome()
    return outcome


def test_stored_then_already(place: ReadModelHome) -> None:
    store = place.store
    generation = store.generation()
    events = [event(1), event(2), event(2)]
    assert commit(store, generation, events, None) is Outcome.STORED
    place.check(events, 3)
    assert place.found().positions == {"orders/0": 3}
    assert sums(place) == {"orders/0:received": 3, "orders/0:applied": 2, "orders/0:stale": 1}
    before = place.dump()
    again = commit(store, generation, events, None, loaded={"og_1": None, "og_2": None})
    assert again is Outcome.ALREADY
    assert place.dump() == before


def sums(place: ReadModelHome) -> dict[str, int]:
    return {name: records for name, records in place.found().tally.items() if records}


def test_behind_when_redis_has_less_than_we_think(place: ReadModelHome) -> None:
    store = place.store
    generation = store.generation()
    assert commit(store, generation, [event(1)], None) is Outcome.STORED
    before = place.dump()
    assert commit(store, generation, [event(2)], 5) is Outcome.BEHIND
    assert place.dump() == before
    place.empty()
    before = place.dump()
    assert commit(store, generation, [event(2)], 1) is Outcome.BEHIND
    assert commit(store, generation, [event(2)], None) is Outcome.BEHIND, "without its meta there is no generation"
    assert place.dump() == before


def test_ahead_when_another_process_has_been_there(place: ReadModelHome) -> None:
    store = place.store
    generation = store.generation()
    assert commit(store, generation, [event(1), event(2), event(3)], None) is Outcome.STORED
    before = place.dump()
    assert commit(store, generation, [event(2)], 1) is Outcome.AHEAD
    assert commit(store, generation, [event(1)], None) is Outcome.AHEAD
    assert place.dump() == before


def test_changed_when_another_partition_met_us_in_a_group(place: ReadModelHome) -> None:
    store = place.store
    generation = store.generation()
    first, second = event(1), event(2, order_group_id="og_1")
    assert commit(store, generation, [first], None) is Outcome.STORED
    before = place.dump()
    assert commit(store, generation, [second], None, OTHER, loaded={"og_1": None}) is Outcome.CHANGED
    assert place.dump() == before
    assert commit(store, generation, [second], None, OTHER) is Outcome.STORED
    place.check([first, second], 2)


def test_changed_when_the_group_was_asked_for_before_another_commit(place: ReadModelHome) -> None:
    store = place.store
    generation = store.generation()
    events = [event(1), event(2, order_group_id="og_1"), event(3, order_group_id="og_1")]
    assert commit(store, generation, events[:1], None) is Outcome.STORED
    before, asked = store.load(generation, 0, ["og_1"]), store.start_load(generation, 0, ["og_1"])
    assert commit(store, generation, events[1:2], 1) is Outcome.STORED
    # Redis has answered at once, the simulated store perhaps not before it is waited for.
    stale, now = asked.states(), store.load(generation, 0, ["og_1"])
    assert before != now
    assert stale == before or (stale == now and isinstance(place, SimulatedHome))
    outcome = commit(store, generation, events[2:], 2, loaded=stale)
    assert outcome is (Outcome.STORED if stale == now else Outcome.CHANGED)
    if outcome is Outcome.CHANGED:
        assert commit(store, generation, events[2:], 2) is Outcome.STORED
    place.check(events, 3)


def test_an_answer_that_nobody_waits_for_is_nobody_else_s(place: ReadModelHome) -> None:
    store = place.store
    generation = store.generation()
    assert commit(store, generation, [event(1)], None) is Outcome.STORED
    states = store.load(generation, 0, ["og_1"])
    for _ in range(3):
        store.start_load(generation, 0, ["og_1", "og_2"]).discard()
        assert store.load(generation, 0, ["og_1"]) == states


def test_more_shards_may_be_under_way_than_a_pool_has_connections(store: Store) -> None:
    """By default: it has a hundred."""
    generation = store.generation(1024)
    events = [event(n) for n in range(400)]
    asked = [store.start_load(generation, generation.shard_of(one), [one]) for one in (f"og_{n}" for n in range(400))]
    for n in range(200):
        assert asked[n].states() == {f"og_{n}": None}
    assert commit(store, generation, events[:1], None) is Outcome.STORED
    for one in asked[200:]:
        one.discard()


@pytest.mark.parametrize("meta", [{"sealed": "1"}, {"version": "999"}, {"nonce": "of another one with its number"}])
def test_sealed_when_the_generation_is_not_ours_to_write(place: ReadModelHome, meta: dict[str, str]) -> None:
    generation = place.store.generation()
    place.set_meta(generation, **meta)
    before = place.dump()
    assert commit(place.store, generation, [event(1)], None) is Outcome.SEALED
    assert place.dump() == before


def test_a_group_that_loses_its_last_order_leaves_no_trace_in_the_lists(place: ReadModelHome) -> None:
    store = place.store
    generation = store.generation()
    events = [event(1), event(1, "order.updated", version=2, deleted_at="2026-06-02T10:00:00Z")]
    events[1]["id"] = "evt_gone"
    assert commit(store, generation, events[:1], None) is Outcome.STORED
    assert commit(store, generation, events[1:], 1) is Outcome.STORED
    found = place.found()
    assert (found.documents, found.entries) == ({}, {})
    place.check(events, 2)


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
    with pytest.raises(CannotGoOn, match=f"has version 999, this code writes version {VERSION}"):
        store.generation()


def test_nobody_there_is_told_as_such() -> None:
    store = Store(Nodes("redis://127.0.0.1:1"))
    with pytest.raises(StoreUnavailable, match="Redis does not answer"):
        store.generation()
    sent = store.commit(Generation(0, 1, VERSION), 0, [b""])
    with pytest.raises(StoreUnavailable):
        sent.outcome()
