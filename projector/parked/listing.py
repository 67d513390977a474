"""Reads the parked records of one generation: a list without their contents, or single records."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from msgspec import Struct

from projector.errors import BadSetting
from projector.parked.record import Parked, decode, parse_position
from projector.readmodel.schema.keys import Generation
from projector.readmodel.schema.parked import digest
from projector.store.redis import Store

# Fields per HSCAN step: each comes with its value, which may exceed 1 MiB.
SCAN_RECORDS = 20


class Entry(Struct, frozen=True):
    """A parked record without its contents. `bytes`: size of the stored JSON, with key, value and headers.

    `digest`: changes with anything that is stored of it.
    """

    position: str
    shard: int
    reason: str
    time: str | None
    parked_at: str | None
    attempts: int
    bytes: int
    digest: str


def entries(store: Store, generation: Generation) -> list[Entry]:
    """Returns all parked records, by position."""
    found: dict[str, Entry] = {}
    for shard in range(generation.shards):
        for position, stored in _scan(store, generation, shard):
            found[position] = _entry(shard, position, stored)
    return sorted(found.values(), key=lambda entry: parse_position(entry.position))


def find(store: Store, generation: Generation, positions: Sequence[str]) -> list[Entry]:
    """Returns the entries at `positions`. Raises BadSetting where one of them is not parked."""
    found = []
    for position in sorted(set(positions), key=parse_position):
        shard, stored = _find(store, generation, position)
        found.append(_entry(shard, position, stored))
    return found


def read_one(store: Store, generation: Generation, position: str) -> Parked:
    """Returns the record with its contents. Raises BadSetting where it is not parked."""
    parse_position(position)
    return decode(position, _find(store, generation, position)[1])


def read(store: Store, generation: Generation, shard: int, positions: Sequence[str]) -> dict[str, Parked]:
    """Returns those of `positions` that are parked in the shard."""
    key = generation.keys(shard).parked
    with store.nodes.errors():
        stored = cast(list[bytes | None], store.nodes.of(key).hmget(key, positions))
    return {position: decode(position, one) for position, one in zip(positions, stored, strict=True) if one is not None}


def with_reason(found: Sequence[Entry], reason: str) -> list[Entry]:
    """Filters by reason. `reason`: a part of its text; case does not matter."""
    return [entry for entry in found if reason.casefold() in entry.reason.casefold()]


def by_reason(found: Sequence[Entry]) -> Mapping[str, int]:
    """Counts entries by reason, the most frequent first. The part from `got` on is cut: it varies."""
    return dict(Counter(entry.reason.split(", got ")[0] for entry in found).most_common())


def _find(store: Store, generation: Generation, position: str) -> tuple[int, bytes]:
    for shard in range(generation.shards):
        key = generation.keys(shard).parked
        with store.nodes.errors():
            stored = cast(bytes | None, store.nodes.of(key).hget(key, position))
        if stored is not None:
            return shard, stored
    raise BadSetting(f"{position} is not parked: list parked events with `projector parked list`")


def _entry(shard: int, position: str, stored: bytes) -> Entry:
    parked = decode(position, stored)
    return Entry(
        position, shard, parked.reason, parked.time, parked.parked_at, parked.attempts, len(stored), digest(stored)
    )


def _scan(store: Store, generation: Generation, shard: int) -> Iterator[tuple[str, bytes]]:
    key, cursor = generation.keys(shard).parked, None
    while cursor != 0:
        with store.nodes.errors():
            cursor, found = cast(Any, store.nodes.of(key).hscan(key, cursor or 0, count=SCAN_RECORDS))
        yield from ((position.decode(), stored) for position, stored in found.items())
