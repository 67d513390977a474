"""The commit script on real servers, and the simulated store: each outcome, and that a refusal writes nothing."""

from collections.abc import Iterator

import pytest
import redis

from projector.errors import FatalError, StoreUnavailable
from projector.readmodel.schema.keys import VERSION, Generation
from projector.store.commit import Outcome
from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests import readmodel
from tests.chaos.homes import ReadModelHome, SimulatedHome, check
from tests.integration.committing import OTHER, commit, prepared, send
from tests.poison import event


@pytest.fixture
def client(redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    store = Store(Nodes(redis_url))
    yield store
    store.nodes.close()


def test_stored_then_already(home: ReadModelHome) -> None:
    store = home.store
    generation = store.generation()
    events = [event(1), event(2), event(2)]
    assert commit(store, generation, events, None) is Outcome.STORED
    check(home, events, 3)
    assert readmodel.read(home.client).positions == {"orders/0": 3}
    assert sums(home) == {"orders/0:received": 3, "orders/0:applied": 2, "orders/0:stale": 1}
    before = home.dump()
    again = commit(store, generation, events, None, loaded={"og_1": None, "og_2": None})
    assert again is Outcome.ALREADY
    assert home.dump() == before


def sums(home: ReadModelHome) -> dict[str, int]:
    return {name: records for name, records in readmodel.read(home.client).tally.items() if records}


def test_behind_after_lost_writes(home: ReadModelHome) -> None:
    store = home.store
    generation = store.generation()
    assert commit(store, generation, [event(1)], None) is Outcome.STORED
    before = home.dump()
    assert commit(store, generation, [event(2)], 5) is Outcome.BEHIND
    assert home.dump() == before
    home.empty()
    before = home.dump()
    assert commit(store, generation, [event(2)], 1) is Outcome.BEHIND
    assert commit(store, generation, [event(2)], None) is Outcome.BEHIND, "without its meta there is no generation"
    assert home.dump() == before


def test_ahead_after_another_process(home: ReadModelHome) -> None:
    store = home.store
    generation = store.generation()
    assert commit(store, generation, [event(1), event(2), event(3)], None) is Outcome.STORED
    before = home.dump()
    assert commit(store, generation, [event(2)], 1) is Outcome.AHEAD
    assert commit(store, generation, [event(1)], None) is Outcome.AHEAD
    assert home.dump() == before


def test_changed_after_another_partition_changed_a_group(home: ReadModelHome) -> None:
    store = home.store
    generation = store.generation()
    first, second = event(1), event(2, order_group_id="og_1")
    assert commit(store, generation, [first], None) is Outcome.STORED
    before = home.dump()
    assert commit(store, generation, [second], None, OTHER, loaded={"og_1": None}) is Outcome.CHANGED
    assert home.dump() == before
    assert commit(store, generation, [second], None, OTHER) is Outcome.STORED
    check(home, [first, second], 2)


def test_changed_after_a_load_before_another_commit(home: ReadModelHome) -> None:
    store = home.store
    generation = store.generation()
    events = [event(1), event(2, order_group_id="og_1"), event(3, order_group_id="og_1")]
    assert commit(store, generation, events[:1], None) is Outcome.STORED
    before, asked = store.load(generation, 0, ["og_1"]), store.start_load(generation, 0, ["og_1"])
    assert commit(store, generation, events[1:2], 1) is Outcome.STORED
    # Redis has answered at once, the simulated store may answer later.
    stale, now = asked.groups(), store.load(generation, 0, ["og_1"])
    assert before != now
    assert stale == before or (stale == now and isinstance(home, SimulatedHome))
    outcome = commit(store, generation, events[2:], 2, loaded=stale)
    assert outcome is (Outcome.STORED if stale == now else Outcome.CHANGED)
    if outcome is Outcome.CHANGED:
        assert commit(store, generation, events[2:], 2) is Outcome.STORED
    check(home, events, 3)


def test_a_discarded_answer_is_not_read_by_others(home: ReadModelHome) -> None:
    store = home.store
    generation = store.generation()
    assert commit(store, generation, [event(1)], None) is Outcome.STORED
    states = store.load(generation, 0, ["og_1"])
    for _ in range(3):
        store.start_load(generation, 0, ["og_1", "og_2"]).discard()
        assert store.load(generation, 0, ["og_1"]) == states


def test_more_shards_in_flight_than_connections_of_a_pool(store: Store) -> None:
    """A pool has 100 connections by default."""
    generation = store.generation(1024)
    events = [event(n) for n in range(400)]
    asked = [store.start_load(generation, generation.shard_of(one), [one]) for one in (f"og_{n}" for n in range(400))]
    for n in range(200):
        assert asked[n].groups() == {f"og_{n}": None}
    assert commit(store, generation, events[:1], None) is Outcome.STORED
    for one in asked[200:]:
        one.discard()


@pytest.mark.parametrize("meta", [{"sealed": "1"}, {"version": "999"}, {"nonce": "of another one with its number"}])
def test_sealed_for_a_closed_or_foreign_generation(home: ReadModelHome, meta: dict[str, str]) -> None:
    generation = home.store.generation()
    sent = prepared(home.store, generation, [event(1)], None)
    home.set_meta(generation, **meta)
    before = home.dump()
    assert send(home.store, generation, sent) is Outcome.SEALED
    assert home.dump() == before


def test_a_group_without_orders_leaves_no_index_entries(home: ReadModelHome) -> None:
    store = home.store
    generation = store.generation()
    events = [event(1), event(1, "order.updated", version=2, deleted_at="2026-06-02T10:00:00Z")]
    events[1]["id"] = "evt_gone"
    assert commit(store, generation, events[:1], None) is Outcome.STORED
    assert commit(store, generation, events[1:], 1) is Outcome.STORED
    found = readmodel.read(home.client)
    assert (found.documents, found.entries, found.texts) == ({}, {}, {})
    check(home, events, 2)


def test_a_large_batch_fits_luas_stack(store: Store, client: "redis.Redis") -> None:
    generation = store.generation()
    events = [event(number) for number in range(9_000)]
    assert commit(store, generation, events, None) is Outcome.STORED
    readmodel.check(readmodel.read(client), events)


def test_a_forgotten_script_is_loaded_again(store: Store, client: "redis.Redis") -> None:
    generation = store.generation()
    client.script_flush()
    assert commit(store, generation, [event(1)], None) is Outcome.STORED


def test_another_version_of_the_read_model_is_refused(store: Store, client: "redis.Redis") -> None:
    client.set("og:live", '{"number":3,"shards":1,"version":999}')
    with pytest.raises(FatalError, match=f"has version 999, this code writes version {VERSION}"):
        store.generation()


def test_an_unavailable_redis_is_an_error() -> None:
    store = Store(Nodes("redis://127.0.0.1:1"))
    with pytest.raises(StoreUnavailable, match="Redis does not answer"):
        store.generation()
    sent = store.commit(Generation(0, 1, VERSION), 0, [b""])
    with pytest.raises(StoreUnavailable):
        sent.outcome()
