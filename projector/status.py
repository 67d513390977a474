"""The state of the projection: positions, counts and generations."""

import time
from typing import cast

import msgspec
from msgspec import Struct

from events.logs.log import Log, Partition
from projector.readmodel.schema.generations import DEAD_LETTERS_DUE, PAUSED, Listed, Paused, state_of
from projector.readmodel.schema.keys import Generation
from projector.readmodel.schema.tally import PASSED_OVER_TYPES, counts, summed
from projector.store import memory
from projector.store.catalogue import Catalogue
from projector.store.nodes import Nodes
from projector.store.redis import Store


class PartitionStatus(Struct, frozen=True):
    """`rate`: events applied per second of the interval. `lag`: events not yet applied, `end - position`. `held_back`:
    events of the lag that an open transaction keeps from being read.

    `parked_bytes`: approximate size of parked events in Redis, without those that earlier releases parked.
    `paused_at`: the offset at which the partition waits at a limit of parked events; `paused_by`: the limit's setting.
    """

    partition: str
    position: int
    end: int
    lag: int
    held_back: int
    rate: float
    received: int
    applied: int
    stale: int
    passed_over: int
    parked: int
    discarded: int
    parked_bytes: int
    paused_at: int | None
    paused_by: str | None


class GenerationStatus(Struct, frozen=True):
    """`state`: live, kept (it was live before), or its build state. `bytes`: Redis memory, estimated from samples;
    `bytes_per_group_by_kind`: rows, records, sorted sets, and so on.
    """

    number: int
    state: str
    made_at: str
    version: int
    shards: int
    live: bool
    groups: int
    bytes: int
    bytes_per_group: int
    bytes_per_group_by_kind: dict[str, int]


class Status(Struct, frozen=True):
    """`untold`: parked events not yet produced to the dead-letter topic. `passed_over_types`: of events passed over."""

    partitions: list[PartitionStatus]
    generations: list[GenerationStatus]
    untold: int
    passed_over_types: list[str]


def read_status(log: Log, nodes: Nodes, interval_s: float) -> Status:
    """Takes `interval_s`: the rate needs two readings. Raises LogMissing, LogUnavailable, StoreUnavailable."""
    live = Catalogue(nodes).live()
    partitions = log.partitions()
    before = lowest_positions(nodes, live, partitions)
    started_s = time.monotonic()
    time.sleep(interval_s)
    after = lowest_positions(nodes, live, partitions)
    elapsed_s = time.monotonic() - started_s
    tally = _tally(nodes, live)
    paused = _paused(nodes)
    end = log.end()
    held_back = log.held_back(end)
    return Status(
        [
            PartitionStatus(
                partition=str(partition),
                position=after[partition],
                end=end[partition],
                lag=end[partition] - after[partition],
                held_back=held_back[partition],
                rate=round((after[partition] - before[partition]) / elapsed_s, 1) if elapsed_s else 0.0,
                paused_at=paused[str(partition)].offset if str(partition) in paused else None,
                paused_by=paused[str(partition)].limit if str(partition) in paused else None,
                **counts(tally, str(partition)),
            )
            for partition in partitions
        ],
        read_generations(nodes),
        _untold(nodes),
        _passed_over_types(nodes),
    )


def read_generations(nodes: Nodes) -> list[GenerationStatus]:
    """Returns all generations by number. Raises StoreUnavailable."""
    catalogue = Catalogue(nodes)
    live = catalogue.live()
    return [_generation(nodes, entry, live) for entry in catalogue.listed()]


def lowest_positions(nodes: Nodes, generation: Generation | None, partitions: list[Partition]) -> dict[Partition, int]:
    """Returns the lowest position of all shards, which every list reflects. 0 where nothing was applied."""
    if generation is None:
        return dict.fromkeys(partitions, 0)
    store = Store(nodes)
    found = [store.positions(generation, shard, partitions) for shard in range(generation.shards)]
    return {partition: min(offsets[i] or 0 for offsets in found) for i, partition in enumerate(partitions)}


def _tally(nodes: Nodes, live: Generation | None) -> dict[str, int]:
    shards = []
    for keys in map(live.keys, range(live.shards)) if live else ():
        with nodes.errors():
            shards.append(cast(dict[bytes, bytes], nodes.of(keys.tally).hgetall(keys.tally)))
    return summed(shards)


def _paused(nodes: Nodes) -> dict[str, Paused]:
    with nodes.errors():
        found = cast(dict[bytes, bytes], nodes.of(PAUSED).hgetall(PAUSED))
    return {partition.decode(): msgspec.json.decode(stored, type=Paused) for partition, stored in found.items()}


def _passed_over_types(nodes: Nodes) -> list[str]:
    with nodes.errors():
        found = cast(list[bytes], nodes.of(PASSED_OVER_TYPES).hkeys(PASSED_OVER_TYPES))
    return sorted(name.decode() for name in found)


def _untold(nodes: Nodes) -> int:
    with nodes.errors():
        return nodes.of(DEAD_LETTERS_DUE).scard(DEAD_LETTERS_DUE)


def _generation(nodes: Nodes, entry: Listed, live: Generation | None) -> GenerationStatus:
    generation = entry.generation
    groups, by_kind = memory.groups(nodes, generation), memory.used(nodes, generation)
    size = by_kind.total()
    return GenerationStatus(
        number=generation.number,
        state=state_of(entry, live),
        made_at=entry.made_at,
        version=generation.version,
        shards=generation.shards,
        live=generation == live,
        groups=groups,
        bytes=size,
        bytes_per_group=size // groups if groups else 0,
        bytes_per_group_by_kind={kind: size // groups for kind, size in by_kind.items()} if groups else {},
    )
