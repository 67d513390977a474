"""Estimates a generation's memory in Redis from samples, and reads how much is free."""

from collections.abc import Iterator
from typing import cast

import redis

from projector.readmodel.client.refusals import Refusal, refusal_of
from projector.readmodel.schema.keys import SLICES, SORT_FIELDS, Generation, Keys
from projector.store.nodes import Nodes, address_of

# Keys sampled from Redis to estimate the memory of the many small sets, one per value.
SAMPLE_KEYS = 5_000
# Members sampled from a large set or hash.
SAMPLE_MEMBERS = 50


def groups(nodes: Nodes, generation: Generation) -> int:
    """Returns the number of listed groups."""
    found = 0
    for keys in _shards(generation):
        with nodes.errors():
            found += nodes.of(keys.row).hlen(keys.row)
    return found


def used(nodes: Nodes, generation: Generation) -> int:
    """Returns the generation's size in bytes."""
    size = 0
    for keys in _shards(generation):
        with nodes.errors():
            size += _shard_bytes(nodes.of(keys.row), keys)
    return size


def free(nodes: Nodes) -> int:
    """Returns the free bytes of all masters: below maxmemory, or without it below their machines' memory."""
    left = 0
    for client in nodes.all():
        with nodes.errors():
            info = client.info("memory")
        limit = int(info["maxmemory"]) or int(info["total_system_memory"])
        left += max(limit - int(info["used_memory"]), 0)
    return left


def eviction(nodes: Nodes) -> Iterator[tuple[str, str | None]]:
    """Yields each master's address and maxmemory-policy, or None where our user may not read it. INFO has the policy
    even where a provider disables CONFIG.
    """
    for client in nodes.all():
        with nodes.errors():
            try:
                found = client.info("memory").get("maxmemory_policy")
            except redis.ResponseError as error:
                if refusal_of(error) not in (Refusal.NOPERM, Refusal.OTHER):
                    raise
                found = None
        yield address_of(client), found


def _shards(generation: Generation) -> list[Keys]:
    return [generation.keys(shard) for shard in range(generation.shards)]


def _shard_bytes(client: redis.Redis, keys: Keys) -> int:
    """Measures large keys one by one, and the sets of values by a sample, which is random because SCAN's order is."""
    large = [keys.row, keys.rest, keys.state, keys.text, keys.position, keys.tally, keys.parked, keys.meta]
    large += [keys.discarded]
    large += [keys.by(field) for field in SORT_FIELDS] + [keys.ordinal]
    size = sum(client.memory_usage(key, samples=SAMPLE_MEMBERS) or 0 for key in large)
    size += (1 + sum(SLICES.values())) * (client.memory_usage(keys.listed) or 0)
    pipeline = client.pipeline(transaction=False)
    for name in keys.id_slices:
        pipeline.memory_usage(name)
    size += sum(found or 0 for found in pipeline.execute())
    scanned, of_values = 0, 0
    prefix = keys.of("", "")[:-1].encode()
    for key in _some_keys(client):
        scanned += 1
        if key.startswith(prefix):
            of_values += client.memory_usage(key, samples=SAMPLE_MEMBERS) or 0
    return size + (of_values * client.dbsize() // scanned if scanned else 0)


def _some_keys(client: redis.Redis) -> Iterator[bytes]:
    cursor, scanned = 0, 0
    while True:
        cursor, found = client.scan(cursor, count=1000)
        yield from cast(list[bytes], found)
        scanned += len(found)
        if cursor == 0 or scanned >= SAMPLE_KEYS:
            return
