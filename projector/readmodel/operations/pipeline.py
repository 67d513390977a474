"""Reads the state of the projection: positions, counts, generations, and what waits."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct
from redis.crc import key_slot

from projector.readmodel.client.active import LISTED_SLOT, ActiveGeneration
from projector.readmodel.client.batches import Block, Command
from projector.readmodel.client.errors import ReadModelFault
from projector.readmodel.client.reader import Reader
from projector.readmodel.query.positions import highest, lowest, offsets
from projector.readmodel.schema.actions import active
from projector.readmodel.schema.generations import (
    DEAD_LETTERS_DUE,
    GENERATIONS,
    PAUSED,
    REPLAY,
    Holder,
    Listed,
    Paused,
    state_of,
)
from projector.readmodel.schema.keys import Generation
from projector.readmodel.schema.sizes import SIZES, Sizes
from projector.readmodel.schema.source import KEPT_MS, SOURCE, Source
from projector.readmodel.schema.tally import PASSED_OVER_TYPES, counts, summed

T = TypeVar("T")

_SHARED: tuple[Command, ...] = (
    ("HGETALL", GENERATIONS),
    ("HGETALL", PAUSED),
    ("SCARD", DEAD_LETTERS_DUE),
    ("GET", REPLAY),
    ("GET", SIZES),
    ("HKEYS", PASSED_OVER_TYPES),
    ("GET", SOURCE),
    ("PTTL", SOURCE),
    ("TIME",),
)


class PartitionState(Struct, frozen=True):
    """`position`: the next offset that some shard has to apply. `end`: of the log, as a projector stored it last.
    `received` = applied + stale + passed_over + parked + discarded.

    `paused_at`, `paused_by`: where it waits for room for parked events, and the setting of the limit.
    """

    partition: str
    position: int
    end: int | None
    lag: int | None
    received: int
    applied: int
    stale: int
    passed_over: int
    parked: int
    discarded: int
    parked_bytes: int
    paused_at: int | None
    paused_by: str | None
    diverged: str | None


class GenerationState(Struct, frozen=True):
    """`state`: live, kept (it was live before), building, verified or dropping. `differences`: of its comparison.

    `groups`: that are listed. `bytes`: approximate, in Redis; None if no projector has measured it.
    """

    number: int
    state: str
    version: int
    shards: int
    made_at: str
    live_at: str | None
    differences: int
    personal_data: bool
    groups: int
    bytes: int | None


class ReplayState(Struct, frozen=True):
    """`done` and `total`: events or groups of the step."""

    who: str
    step: str
    done: int
    total: int


class SourceState(Source, frozen=True):
    """What a relay has stored last. `age_s`: since then."""

    age_s: float


class Pipeline(Struct, frozen=True):
    """`active`: number and nonce of the generation that is read, as `expected` of an action names it; None before the
    first. `at_ms`: Unix milliseconds by the clock of Redis. `end_age_s`: since a projector stored the ends of the log.
    `untold`: parked events that are not in the dead-letter topic yet. `passed_over_types`: of events that were
    passed over. `source`: of the relay of a shop's database; None without one for a day. `sizes_at`: RFC 3339.
    """

    at_ms: int
    active: dict[str, Any] | None
    partitions: Sequence[PartitionState]
    end_age_s: float | None
    untold: int
    passed_over_types: Sequence[str]
    source: SourceState | None
    generations: Sequence[GenerationState]
    sizes_at: str | None
    replay: ReplayState | None


class _Shard(Struct):
    positions: Mapping[str, int]
    tally: dict[bytes, bytes]
    end: Mapping[str, int]
    end_at_ms: int | None
    diverged: dict[bytes, bytes]


async def read_pipeline(reader: Reader) -> Pipeline:
    """Raises Unavailable, ReadModelFault."""
    seen = await reader.read(_of_shards, None, reader.deadline_s())
    shared = cast(list[Any], await reader.call(Block(_SHARED), LISTED_SLOT))
    listed, paused, untold, lease, measured, types, relay, left_ms, (seconds, micros) = shared
    at_ms = int(seconds) * 1000 + int(micros) // 1000
    live = seen.live.generation if seen else None
    shards = [_shard(cast(list[Any], values)) for values in (seen.values if seen else ())]
    ends = [shard.end_at_ms for shard in shards if shard.end_at_ms is not None]
    sizes = _decoded(SIZES, measured, Sizes) if measured else None
    holder = _decoded(REPLAY, lease, Holder) if lease else None
    entries = [_decoded(GENERATIONS, entry, Listed) for entry in listed[1::2]]
    return Pipeline(
        at_ms=at_ms,
        active=active(live) if live else None,
        partitions=_partitions(shards, _pairs(paused)),
        end_age_s=max(at_ms - max(ends), 0) / 1000 if ends else None,
        untold=untold,
        passed_over_types=sorted(name.decode() for name in types),
        source=_source(_decoded(SOURCE, relay, Source), left_ms) if relay else None,
        generations=[
            await _generation(reader, entry, live, sizes)
            for entry in sorted(entries, key=lambda entry: entry.generation.number)
        ],
        sizes_at=sizes.at if sizes else None,
        replay=_replay(holder) if holder else None,
    )


def _of_shards(live: ActiveGeneration) -> list[Block]:
    return [
        Block(
            (
                ("HGETALL", keys.position),
                ("HGETALL", keys.tally),
                ("HGETALL", keys.end),
                ("GET", keys.end_at),
                ("HGETALL", keys.diverged),
            )
        )
        for keys in live.shards
    ]


def _shard(values: list[Any]) -> _Shard:
    position, tally, end, end_at, diverged = values
    return _Shard(offsets(position), _pairs(tally), offsets(end), int(end_at) if end_at else None, _pairs(diverged))


def _partitions(shards: Sequence[_Shard], paused: Mapping[bytes, bytes]) -> list[PartitionState]:
    if not shards:
        return []
    reached, end = lowest([shard.positions for shard in shards]), highest(shard.end for shard in shards)
    tally = summed(shard.tally for shard in shards)
    diverged = {name.decode(): why.decode() for shard in shards for name, why in shard.diverged.items()}
    waiting = {name.decode(): _decoded(PAUSED, stored, Paused) for name, stored in paused.items()}
    found = []
    for name in sorted({*reached, *end}, key=lambda name: (name.rpartition("/")[0], int(name.rpartition("/")[2]))):
        position, pause = reached.get(name, 0), waiting.get(name)
        # It is stored once a second, so a position may be beyond it.
        until = max(end[name], position) if name in end else None
        found.append(
            PartitionState(
                partition=name,
                position=position,
                end=until,
                lag=None if until is None else until - position,
                paused_at=pause.offset if pause else None,
                paused_by=pause.limit if pause else None,
                diverged=diverged.get(name),
                **counts(tally, name),
            )
        )
    return found


async def _generation(reader: Reader, entry: Listed, live: Generation | None, sizes: Sizes | None) -> GenerationState:
    generation = entry.generation
    groups = 0
    for shard in range(generation.shards):
        row = generation.keys(shard).row
        groups += cast(int, await reader.call(("HLEN", row), key_slot(row.encode())))
    return GenerationState(
        number=generation.number,
        state=state_of(entry, live),
        version=generation.version,
        shards=generation.shards,
        made_at=entry.made_at,
        live_at=entry.live_at or None,
        differences=entry.differences,
        personal_data=generation.personal_data,
        groups=groups,
        bytes=sizes.bytes.get(generation.number) if sizes else None,
    )


def _source(found: Source, left_ms: int) -> SourceState:
    return SourceState(**msgspec.structs.asdict(found), age_s=max(KEPT_MS - left_ms, 0) / 1000)


def _replay(holder: Holder) -> ReplayState:
    progress = holder.progress
    return ReplayState(holder.who, *((progress.step, progress.done, progress.total) if progress else ("begin", 0, 0)))


def _pairs(reply: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(reply[::2], reply[1::2], strict=True))


def _decoded(key: str, stored: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(stored, type=kind)
    except msgspec.DecodeError as error:
        raise ReadModelFault(f"{key}: {error}, found {stored!r:.200}") from error
