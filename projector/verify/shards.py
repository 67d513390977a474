"""Reads everything that a shard holds of some groups, all of one snapshot, with the positions that it reflects."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import cast

import msgspec
from msgspec import Struct

from events.logs.log import Partition
from projector.errors import FatalError
from projector.readmodel.schema.columns import SLICES
from projector.readmodel.schema.keys import LISTED, NUMBERED, Generation, slice_name
from projector.readmodel.schema.ordinals import MEMBER_BYTES, line_of, member_of, ordinal_of
from projector.retry import Retry
from projector.store.redis import Store
from projector.verify.snapshot import Snapshot, expected_snapshot
from projector.verify.streams import Script, Streams, lines_of
from projector.verify.tables import Candidate

PICTURE = Script("picture")
# Limits of one call: groups with all their bits, and without.
GROUPS_MAX = 25
RECORDS_MAX = 400

# The bitmaps in which each group has a bit of its own; slices from the sign down, so that digits spell the integer.
OWN_BITMAPS = (
    LISTED,
    NUMBERED,
    *(slice_name(field, k) for field, slices in SLICES.items() for k in reversed(range(slices))),
)
_ENDS = [2]
for _slices in SLICES.values():
    _ENDS.append(_ENDS[-1] + _slices)

Positions = dict[Partition, int]


class Answer(Struct, frozen=True):
    """Of one shard, all as of `positions`. `snapshots`: of the first of the groups; a group without ordinal is not
    among `ordinals`. `parked` aligns with the request.
    """

    positions: Positions
    snapshots: dict[Candidate, Snapshot]
    ordinals: dict[Candidate, int]
    parked: Sequence[bool]

    def own_snapshots(self) -> dict[str, Snapshot]:
        """Returns what the groups that have a record should be according to it."""
        own = ((str(one), found.record) for one, found in self.snapshots.items())
        return {group_id: expected_snapshot(group_id, record) for group_id, record in own if record is not None}


class Shards:
    """Every method raises FatalError, and StoreUnavailable if `retry` does."""

    def __init__(self, store: Store, generation: Generation, partitions: Sequence[Partition], retry: Retry) -> None:
        self.generation = generation
        self.streams = Streams(store, generation, retry)
        self._partitions = {str(partition).encode(): partition for partition in partitions}

    def read(
        self,
        shard: int,
        wanted: Mapping[Candidate, Collection[str]] | None = None,
        bits: bool = True,
        parked: Sequence[str] = (),
    ) -> Answer:
        """Reads one shard in one call. `wanted`: group ids, or ordinals alone, with the sorted sets in which, and in
        whose bitmaps, the group is looked up. `bits`: whether the snapshots have text and bits. `parked`: names.
        """
        wanted = wanted or {}
        asked = list(wanted)
        by_id = not asked or isinstance(asked[0], str)
        arguments = asked if by_id else [member_of(cast(int, ordinal)) for ordinal in asked]
        sets: dict[str, list[int]] = {}
        for number, one in enumerate(asked, 1):
            for name in wanted[one]:
                sets.setdefault(name, []).append(number)
        listed = [(name, *numbers) for name, numbers in sets.items()]
        head = msgspec.msgpack.encode((by_id, bits, OWN_BITMAPS if bits else (), listed, parked))
        found = self.streams.call(PICTURE, shard, head, *arguments)
        if b"unfinished" in found[0][::2]:
            self.streams.retry(partial(self.streams.store.finish, self.generation, shard))
            found = self.streams.call(PICTURE, shard, head, *arguments)
            if b"unfinished" in found[0][::2]:
                raise FatalError(
                    f"generation {self.generation.number} has a half-written commit: run the projector that writes it, "
                    "which finishes the commit"
                )
        groups, members, records, rows, chunks, digits, scores, others = found[1:9]
        asked = asked[:groups]
        lines = {int(number): lines_of(chunk) for number, chunk in zip(chunks[::2], chunks[1::2], strict=True)}
        snapshots: dict[Candidate, Snapshot] = {}
        ordinals: dict[Candidate, int] = {}
        for one, member, record, row, own in zip(asked, members, records, rows, digits, strict=True):
            text = b""
            if member is not None and len(member) == MEMBER_BYTES:
                ordinals[one] = ordinal_of(member)
                if bits:
                    chunk, place = line_of(ordinals[one])
                    text = lines[chunk][place]
            snapshots[one] = Snapshot(record, row, text, {}, _own_bits(own))
        for (name, numbers), own_scores, own_bits in zip(sets.items(), scores, others, strict=True):
            for number, score in zip(numbers, own_scores, strict=False):
                if score is not None:
                    snapshots[asked[number - 1]].scores[name] = float(score)
            for number, bit in zip(numbers, own_bits, strict=False):
                snapshots[asked[number - 1]].bits["bits:" + name] = bit
        return Answer(self._positions(found[0]), snapshots, ordinals, [bool(exists) for exists in found[9]])

    def own_snapshots(self, ids: Iterable[str]) -> dict[str, Snapshot]:
        """Returns what the groups that exist should be according to their own records."""
        by_shard: dict[int, list[str]] = {}
        for group_id in ids:
            by_shard.setdefault(self.generation.shard_of(group_id), []).append(group_id)
        found: dict[str, Snapshot] = {}
        for shard, own in by_shard.items():
            while own:
                answer = self.read(shard, dict.fromkeys(own[:RECORDS_MAX], ()), bits=False)
                own = own[len(answer.snapshots) :]
                found |= answer.own_snapshots()
        return found

    def rows(self, shard: int, ordinals: Sequence[int]) -> Iterator[tuple[int, bytes | None, bytes | None]]:
        """Yields ordinal, record and row."""
        start = 0
        while start < len(ordinals):
            some = ordinals[start : start + RECORDS_MAX]
            head = msgspec.msgpack.encode((False, False, (), (), ()))
            found = self.streams.call(PICTURE, shard, head, *map(member_of, some))
            yield from zip(some[: found[1]], found[3], found[4], strict=True)
            start += found[1]

    def _positions(self, flat: Sequence[bytes]) -> Positions:
        """Returns 0 for a partition of which nothing is applied. Without partitions no positions are wanted."""
        positions = dict.fromkeys(self._partitions.values(), 0)
        for name, offset in zip(flat[::2], flat[1::2], strict=True):
            if name == b"redriven" or not self._partitions:
                continue
            partition = self._partitions.get(name)
            if partition is None:
                raise FatalError(
                    f"generation {self.generation.number} has a position of {name.decode()}, which the log lacks"
                )
            positions[partition] = int(offset)
        return positions


def lowest_positions(shards: Shards) -> Positions:
    """Returns what every shard has applied."""
    found = [shards.read(shard).positions for shard in range(shards.generation.shards)]
    return {partition: min(positions[partition] for positions in found) for partition in found[0]}


def _own_bits(digits: bytes) -> dict[str, int]:
    """Returns the bits of OWN_BITMAPS, those of slices as the integer that they spell in two's complement."""
    if not digits:
        return {}
    bits = {LISTED: digits[0] - 48, NUMBERED: digits[1] - 48}
    for field, (start, stop) in zip(SLICES, pairwise(_ENDS), strict=True):
        value = int(digits[start:stop], 2)
        bits[f"bits:by:{field}"] = value - (1 << (stop - start)) if digits[start] == 49 else value
    return bits
