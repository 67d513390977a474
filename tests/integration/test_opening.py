"""A generation that was lost with its Redis, and another one of its number: what is left is no part of that."""

from typing import Any

from projector.readmodel.schema.document import VERSION
from projector.readmodel.schema.keys import Generation
from projector.store.opening import open_shard
from projector.store.redis import Store

LOST = Generation(0, 1, VERSION, "lost")
KEYS = 700


def fill(client: Any, generation: Generation) -> None:
    """As a process does that has not noticed that Redis was emptied."""
    for shard in range(generation.shards):
        prefix = f"og:{{{generation.number}.{shard}}}:"
        client.hset(prefix + "meta", mapping={"version": VERSION, "nonce": generation.nonce, "log": "another"})
        client.hset(prefix + "position", "orders/0", 5)
        for number in range(KEYS):
            client.zadd(f"{prefix}of:customer_id:cus_{number}", {"og_1": 1})


def left(client: Any, number: int, shard: int) -> set[str]:
    found = client.scan_iter(match=f"og:{{{number}.{shard}}}:*", count=1000)
    return {key.decode().partition("}:")[2] for key in found}


def test_what_is_left_of_another_is_cleared_before_it_is_opened(store: Store, client: Any) -> None:
    fill(client, LOST)
    fill(client, Generation(1, 1, VERSION, "beside"))
    generation = store.generation(3)
    assert (generation.number, generation.shards) == (0, 3)
    for shard in range(3):
        meta = client.hgetall(generation.keys(shard).meta)
        assert meta == {b"version": b"%d" % VERSION, b"nonce": generation.nonce.encode()}
        assert left(client, 0, shard) == {"meta"}
    assert len(left(client, 1, 0)) == KEYS + 2, "that of another number is not touched"


def test_a_replay_clears_as_well(store: Store, client: Any) -> None:
    fill(client, LOST)
    store.open(Generation(0, 2, VERSION, "begun"))
    assert left(client, 0, 0) == left(client, 0, 1) == {"meta"}


def test_it_goes_on_where_a_process_died(store: Store, client: Any) -> None:
    generation = store.generation()
    meta = generation.keys(0).meta
    fill(client, generation)
    client.delete(meta)
    client.hset(meta, mapping={"nonce": generation.nonce, "left": 1})
    assert store.generation() == generation
    assert left(client, 0, 0) == {"meta"}
    assert client.hkeys(meta) == [b"nonce", b"version"]


def test_whoever_is_late_takes_nothing_away(store: Store, client: Any) -> None:
    generation = store.generation()
    fill(client, generation)
    open_shard(store.nodes, LOST, 0, lambda: store.catalogue.live() == LOST)
    assert len(left(client, 0, 0)) == KEYS + 2
    assert client.hget(generation.keys(0).meta, "nonce") == generation.nonce.encode()


def test_another_seal_is_not_lifted(store: Store) -> None:
    generation = store.generation(2)
    store.seal(generation, "one")
    seen = store.seals(generation)
    assert seen == ["one", "one"]
    store.seal(generation, "another")
    store.unseal(generation, seen)
    assert store.seals(generation) == ["another", "another"]
    store.unseal(generation, ["another", None])
    assert store.seals(generation) == [None, "another"]


def test_its_own_is_left_as_it_is(store: Store, client: Any) -> None:
    generation = store.generation()
    fill(client, generation)
    client.hset(generation.keys(0).meta, "sealed", "a replay")
    assert store.generation() == generation
    assert len(left(client, 0, 0)) == KEYS + 2
    assert store.seals(generation) == ["a replay"]
