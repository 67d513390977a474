"""A new generation reuses the number of a lost one: leftover keys of the lost one are cleared."""

from typing import Any

from projector.readmodel.schema.keys import VERSION, Generation
from projector.store.opening import open_shard
from projector.store.redis import Store

LOST = Generation(0, 1, VERSION, "lost")
KEYS = 700


def fill(client: Any, generation: Generation) -> None:
    """Writes like a process that has not noticed that Redis was emptied."""
    for shard in range(generation.shards):
        prefix = f"og:{{{generation.number}.{shard}}}:"
        client.hset(prefix + "meta", mapping={"version": VERSION, "nonce": generation.nonce, "log": "another"})
        client.hset(prefix + "position", "orders/0", 5)
        for number in range(KEYS):
            client.zadd(f"{prefix}of:customer_id:cus_{number}", {"og_1": 1})


def keys_left(client: Any, number: int, shard: int) -> set[str]:
    found = client.scan_iter(match=f"og:{{{number}.{shard}}}:*", count=1000)
    return {key.decode().partition("}:")[2] for key in found}


def test_leftovers_are_cleared_before_a_shard_is_opened(store: Store, client: Any) -> None:
    fill(client, LOST)
    fill(client, Generation(1, 1, VERSION, "beside"))
    generation = store.generation(3)
    assert (generation.number, generation.shards) == (0, 3)
    for shard in range(3):
        meta = client.hgetall(generation.keys(shard).meta)
        assert meta == {b"version": b"%d" % VERSION, b"nonce": generation.nonce.encode()}
        assert keys_left(client, 0, shard) == {"meta"}
    assert len(keys_left(client, 1, 0)) == KEYS + 2, "another number was changed"


def test_a_replay_clears_as_well(store: Store, client: Any) -> None:
    fill(client, LOST)
    store.open(Generation(0, 2, VERSION, "begun"))
    assert keys_left(client, 0, 0) == keys_left(client, 0, 1) == {"meta"}


def test_it_continues_after_a_death(store: Store, client: Any) -> None:
    generation = store.generation()
    meta = generation.keys(0).meta
    fill(client, generation)
    client.delete(meta)
    client.hset(meta, mapping={"nonce": generation.nonce, "left": 1})
    assert store.generation() == generation
    assert keys_left(client, 0, 0) == {"meta"}
    assert client.hkeys(meta) == [b"nonce", b"version"]


def test_a_late_process_deletes_nothing(store: Store, client: Any) -> None:
    generation = store.generation()
    fill(client, generation)
    open_shard(store.nodes, LOST, 0, lambda: store.catalogue.live() == LOST)
    assert len(keys_left(client, 0, 0)) == KEYS + 2
    assert client.hget(generation.keys(0).meta, "nonce") == generation.nonce.encode()


def test_another_holders_seal_is_not_removed(store: Store) -> None:
    generation = store.generation(2)
    store.seal(generation, "one")
    seen = store.seals(generation)
    assert seen == ["one", "one"]
    store.seal(generation, "another")
    store.unseal(generation, seen)
    assert store.seals(generation) == ["another", "another"]
    store.unseal(generation, ["another", None])
    assert store.seals(generation) == [None, "another"]


def test_an_open_shard_is_not_changed(store: Store, client: Any) -> None:
    generation = store.generation()
    fill(client, generation)
    client.hset(generation.keys(0).meta, "sealed", "a replay")
    assert store.generation() == generation
    assert len(keys_left(client, 0, 0)) == KEYS + 2
    assert store.seals(generation) == ["a replay"]
