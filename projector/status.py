"""How far the projection has come, and what it holds."""

import time
from collections.abc import Iterator
from typing import cast

import redis
from msgspec import Struct

from events.log import Log, Partition
from projector.errors import StoreUnavailable
from projector.readmodel.keys import SORT_FIELDS, Generation, Keys
from projector.store.redis import read_live

# Of the many small sets, one for each value, this many keys of Redis are looked at to estimate their memory.
SAMPLE_KEYS = 5_000
# Of a large set or hash, this many members.
SAMPLE_MEMBERS = 50


class PartitionStatus(Struct, frozen=True):
    """`rate`: events applied a second over the interval. `lag`: events not yet applied, `end - position`."""

    partition: str
    position: int
    end: int
    lag: int
    rate: float
    received: int
    applied: int
    stale: int
    passed_over: int
    parked: int


class GenerationStatus(Struct, frozen=True):
    """`bytes`: of Redis' memory, estimated from samples."""

    number: int
    version: int
    shards: int
    live: bool
    groups: int
    bytes: int
    bytes_per_group: int


class Status(Struct, frozen=True):
    partitions: list[PartitionStatus]
    generations: list[GenerationStatus]


def read_status(log: Log, client: redis.Redis, interval_s: float) -> Status:
    """Looks twice, `interval_s` apart, for the rate. Raises LogMissing, LogUnavailable, StoreUnavailable."""
    try:
        live = read_live(client)
        partitions = log.partitions()
        before = _positions(client, live, partitions)
        started_s = time.monotonic()
        time.sleep(interval_s)
        after = _positions(client, live, partitions)
        elapsed_s = time.monotonic() - started_s
        tally = _tally(client, live)
        generations = [_generation(client, live)] if live else []
    except redis.RedisError as error:
        raise StoreUnavailable(f"Redis does not answer: {error}") from error
    end = log.end()
    return Status(
        [
            PartitionStatus(
                partition=str(partition),
                position=after[partition],
                end=end[partition],
                lag=end[partition] - after[partition],
                rate=round((after[partition] - before[partition]) / elapsed_s, 1) if elapsed_s else 0.0,
                **{fate: tally.get(f"{partition}:{fate}", 0) for fate in _FATES},
            )
            for partition in partitions
        ],
        generations,
    )


_FATES = ("received", "applied", "stale", "passed_over", "parked")


def _shards(live: Generation | None) -> list[Keys]:
    return [live.keys(shard) for shard in range(live.shards)] if live else []


def _positions(client: redis.Redis, live: Generation | None, partitions: list[Partition]) -> dict[Partition, int]:
    """The lowest of all shards: what every list reflects."""
    lowest = dict.fromkeys(partitions, 0)
    for number, keys in enumerate(_shards(live)):
        stored = client.hmget(keys.position, [str(partition) for partition in partitions])
        for partition, offset in zip(partitions, stored, strict=True):
            here = int(offset or 0)
            lowest[partition] = here if number == 0 else min(here, lowest[partition])
    return lowest


def _tally(client: redis.Redis, live: Generation | None) -> dict[str, int]:
    tally: dict[str, int] = {}
    for keys in _shards(live):
        for raw, records in cast(dict[bytes, bytes], client.hgetall(keys.tally)).items():
            name = raw.decode()
            tally[name] = tally.get(name, 0) + int(records)
    return tally


def _generation(client: redis.Redis, live: Generation) -> GenerationStatus:
    groups = sum(client.hlen(keys.row) for keys in _shards(live))
    size = sum(_bytes(client, keys) for keys in _shards(live))
    return GenerationStatus(
        number=live.number,
        version=live.version,
        shards=live.shards,
        live=True,
        groups=groups,
        bytes=size,
        bytes_per_group=size // groups if groups else 0,
    )


def _bytes(client: redis.Redis, keys: Keys) -> int:
    """The large keys one by one; the many sets of values by a sample, which SCAN's order makes a random one."""
    large = [keys.row, keys.rest, keys.state, keys.text, keys.position, keys.tally, keys.parked, keys.meta]
    large += [keys.by(field) for field in SORT_FIELDS]
    size = sum(client.memory_usage(key, samples=SAMPLE_MEMBERS) or 0 for key in large)
    seen, of_values = 0, 0
    prefix = keys.of("", "")[:-1].encode()
    for key in _some_keys(client):
        seen += 1
        if key.startswith(prefix):
            of_values += client.memory_usage(key, samples=SAMPLE_MEMBERS) or 0
    return size + (of_values * client.dbsize() // seen if seen else 0)


def _some_keys(client: redis.Redis) -> Iterator[bytes]:
    cursor, seen = 0, 0
    while True:
        cursor, found = client.scan(cursor, count=1000)
        yield from cast(list[bytes], found)
        seen += len(found)
        if cursor == 0 or seen >= SAMPLE_KEYS:
            return
