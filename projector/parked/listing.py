"""The parked records of one generation, as Redis has them: listed without their bytes, read one by one."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from msgspec import Struct

from projector.errors import BadSetting
from projector.parked.record import Parked, decode, place
from projector.readmodel.schema.keys import Generation
from projector.store.redis import Store

# How many fields one step of a scan looks at: each comes with its value, which may have over a MiB.
SCAN_RECORDS = 20


class Entry(Struct, frozen=True):
    """What is told of a parked record without its bytes. `bytes`: of key, value and headers, as it is stored."""

    position: str
    shard: int
    reason: str
    time: str | None
    parked_at: str | None
    attempts: int
    bytes: int


def entries(store: Store, generation: Generation) -> list[Entry]:
    """All there are, by position."""
    found: dict[str, Entry] = {}
    for shard in range(generation.shards):
        for position, stored in _scan(store, generation, shard):
            found[position] = _entry(shard, position, stored)
    return sorted(found.values(), key=lambda entry: place(entry.position))


def find(store: Store, generation: Generation, positions: Sequence[str]) -> list[Entry]:
    """Raises BadSetting where one of them is not parked."""
    found = []
    for position in sorted(set(positions), key=place):
        shard, stored = _find(store, generation, position)
        found.append(_entry(shard, position, stored))
    return found


def read_one(store: Store, generation: Generation, position: str) -> Parked:
    """Raises BadSetting where it is not parked."""
    place(position)
    return decode(position, _find(store, generation, position)[1])


def read(store: Store, generation: Generation, shard: int, positions: Sequence[str]) -> dict[str, Parked]:
    """Those that are still there."""
    key = generation.keys(shard).parked
    with store.nodes.errors():
        stored = cast(list[bytes | None], store.nodes.of(key).hmget(key, positions))
    return {position: decode(position, one) for position, one in zip(positions, stored, strict=True) if one is not None}


def with_reason(found: Sequence[Entry], reason: str) -> list[Entry]:
    """`reason`: a part of it, in any case."""
    return [entry for entry in found if reason.casefold() in entry.reason.casefold()]


def by_reason(found: Sequence[Entry]) -> Mapping[str, int]:
    """What was expected where -> how many, the most first. What was got instead differs from one to the next."""
    return dict(Counter(entry.reason.split(", got ")[0] for entry in found).most_common())


def _find(store: Store, generation: Generation, position: str) -> tuple[int, bytes]:
    for shard in range(generation.shards):
        key = generation.keys(shard).parked
        with store.nodes.errors():
            stored = cast(bytes | None, store.nodes.of(key).hget(key, position))
        if stored is not None:
            return shard, stored
    raise BadSetting(f"{position} is not parked: projector parked list shows what is")


def _entry(shard: int, position: str, stored: bytes) -> Entry:
    parked = decode(position, stored)
    return Entry(position, shard, parked.reason, parked.time, parked.parked_at, parked.attempts, len(stored))


def _scan(store: Store, generation: Generation, shard: int) -> Iterator[tuple[str, bytes]]:
    key, cursor = generation.keys(shard).parked, None
    while cursor != 0:
        with store.nodes.errors():
            cursor, found = cast(Any, store.nodes.of(key).hscan(key, cursor or 0, count=SCAN_RECORDS))
        yield from ((position.decode(), stored) for position, stored in found.items())
