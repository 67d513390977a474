"""Estimates a generation's memory in Redis from samples, and reads how much is free."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import redis

from projector.readmodel.client.refusals import Refusal, refusal_of
from projector.readmodel.schema.keys import FACET_FIELDS, SORT_FIELDS, Generation, Keys
from projector.store.commit import BROAD_GROUPS_MIN
from projector.store.nodes import Nodes, address_of

# Keys sampled from Redis to estimate the memory of the many small sets, one per value.
SAMPLE_KEYS = 5_000
# Members sampled from a large set or hash.
SAMPLE_MEMBERS = 50


class Filled(NamedTuple):
    """Bytes that a server uses, and its limit: maxmemory, or without it the memory of its machine."""

    used: int
    limit: int


def groups(nodes: Nodes, generation: Generation) -> int:
    """Returns the number of listed groups."""
    found = 0
    for keys in _shards(generation):
        with nodes.errors():
            found += nodes.of(keys.row).hlen(keys.row)
    return found


def used(nodes: Nodes, generation: Generation) -> Counter[str]:
    """Returns the generation's size in bytes by kind."""
    size = Counter[str]()
    for keys in _shards(generation):
        with nodes.errors():
            size += _shard_bytes(nodes.of(keys.row), keys)
    return size


def free(nodes: Nodes) -> int:
    """Returns the free bytes of all masters: below maxmemory, or without it below their machines' memory."""
    left = 0
    for client in nodes.all():
        with nodes.errors():
            filled = _filled(client.info("memory"))
        left += max(filled.limit - filled.used, 0)
    return left


def filled(nodes: Nodes) -> dict[str, Filled]:
    """Returns the memory of each master, by address, without those where our user may not read it."""
    return {server: _filled(info) for server, info in _info(nodes) if info is not None}


def eviction(nodes: Nodes) -> Iterator[tuple[str, str | None]]:
    """Yields each master's address and maxmemory-policy, or None where our user may not read it. INFO has the policy
    even where a provider disables CONFIG.
    """
    for server, info in _info(nodes):
        yield server, None if info is None else info.get("maxmemory_policy")


def _info(nodes: Nodes) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yields each master's address and INFO of its memory, or None where our user may not read it."""
    for client in nodes.all():
        with nodes.errors():
            try:
                found = client.info("memory")
            except redis.ResponseError as error:
                if refusal_of(error) not in (Refusal.NOPERM, Refusal.OTHER):
                    raise
                found = None
        yield address_of(client), found


def _filled(info: Mapping[str, Any]) -> Filled:
    return Filled(int(info["used_memory"]), int(info["maxmemory"]) or int(info["total_system_memory"]))


def _shards(generation: Generation) -> list[Keys]:
    return [generation.keys(shard) for shard in range(generation.shards)]


def _shard_bytes(client: redis.Redis, keys: Keys) -> Counter[str]:
    """Measures large keys one by one, and other sets of values by a sample, which is random because SCAN's order is."""
    large: dict[str, list[str]] = {"sorted sets": [], "bitmaps": []}
    for field in FACET_FIELDS:
        found = cast(list[bytes], client.zrangebyscore(keys.values(field), BROAD_GROUPS_MIN, "+inf"))
        for value in map(bytes.decode, found):
            large["sorted sets"].append(keys.of(field, value))
            large["bitmaps"].append(keys.bits_of(field, value))
    slices = [name for field in SORT_FIELDS for name in keys.slices(field)]
    kinds = {
        "ids": [keys.ordinal, keys.ordinals],
        "rows": [keys.row],
        # The latter two are of version 7, from which a replay estimates what this version needs.
        "records": [keys.record, keys.prefix + "state", keys.prefix + "rest"],
        "texts": [keys.text],
        "sorted sets": [keys.created, *map(keys.values, FACET_FIELDS), *large["sorted sets"]],
        "bitmaps": [keys.listed, keys.numbered, *slices, *large["bitmaps"]],
        "changes": [keys.changed],
        "parked": [keys.parked, keys.discarded],
        "positions": [keys.position, keys.last, keys.tally, keys.meta],
    }
    pipeline = client.pipeline(transaction=False)
    for names in kinds.values():
        for name in names:
            pipeline.memory_usage(name, samples=SAMPLE_MEMBERS)
    measured = iter(pipeline.execute())
    size = Counter({kind: sum(next(measured) or 0 for _ in names) for kind, names in kinds.items()})
    scanned, of_values = 0, Counter[str]()
    sets, bitmaps = keys.of("", "")[:-1].encode(), keys.bits_of("", "")[:-1].encode()
    measured_keys = {key.encode() for names in large.values() for key in names}
    for key in _some_keys(client):
        scanned += 1
        kind = "sorted sets" if key.startswith(sets) else "bitmaps" if key.startswith(bitmaps) else None
        if kind and key not in measured_keys:
            of_values[kind] += client.memory_usage(key, samples=SAMPLE_MEMBERS) or 0
    for kind, sampled in of_values.items():
        size[kind] += sampled * client.dbsize() // scanned
    return size


def _some_keys(client: redis.Redis) -> Iterator[bytes]:
    cursor, scanned = 0, 0
    while True:
        cursor, found = client.scan(cursor, count=1000)
        yield from cast(list[bytes], found)
        scanned += len(found)
        if cursor == 0 or scanned >= SAMPLE_KEYS:
            return
