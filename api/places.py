"""Groups of a large page, or of one bucket, that select.lua tells as bits: listed and sorted after it, some at a time,
for each takes Redis several microseconds. Pure.

What changes meanwhile is noticed when the documents are read: see documents.py.
"""

import re
from collections.abc import Iterator, Sequence
from math import inf
from typing import NamedTuple, cast

from api.batches import NOTHING, Command
from api.live import Live
from api.merge import Place
from api.scripts import PLACES
from projector.readmodel.keys import Keys

# Where select.lua has a count, it may say this: some of the page is told as bits.
UNLISTED = -4
# Groups that one call lists.
SLICE_GROUPS = 250

_NOT_ZERO = re.compile(rb"[^\0]")


class Places:
    """`slices` says what to ask, `take` takes the answers; both once a round, until `is_done`. Then `replies` are as if
    select.lua had listed all, with what was listed for it behind them.
    """

    def __init__(
        self, live: Live, replies: Sequence[Sequence[object]], sort: str, *, descending: bool, rotated: bool
    ) -> None:
        self._live = live
        self._sort = sort
        self._replies = replies
        self._shards = [
            _Shard(reply, descending=descending, rotated=rotated) if reply[1] == UNLISTED else None for reply in replies
        ]

    @property
    def counts(self) -> list[int]:
        """Of the groups that are listed in each shard."""
        return [0 if shard is None else shard.count for shard in self._shards]

    @property
    def is_done(self) -> bool:
        return all(shard is None or shard.is_done for shard in self._shards)

    def slices(self, live: Live) -> list[Command]:
        """One for each shard."""
        if live.generation != self._live.generation:
            self._shards, self._replies = [], []
            return [NOTHING] * len(live.shards)
        return [
            NOTHING if shard is None or shard.is_done else shard.slice(keys, self._sort)
            for shard, keys in zip(self._shards, live.shards, strict=True)
        ]

    def take(self, replies: Sequence[object]) -> None:
        for shard, reply in zip(self._shards, replies, strict=bool(self._shards)):
            if shard is not None and not shard.is_done:
                shard.take(cast(tuple[list[bytes], list[bytes | None]], reply))

    def replies(self) -> Sequence[Sequence[object]] | None:
        """None if they are not those of the list any more, or could not all be listed."""
        if not self._shards or not self.is_done:
            return None
        found = []
        for shard, reply in zip(self._shards, self._replies, strict=True):
            told = reply if shard is None else shard.reply(reply)
            if told is None:
                return None
            found.append(told)
        return found


class _Bits(NamedTuple):
    """Of the groups with these ordinals, in the order of the list, those at these ranks."""

    ordinals: Sequence[int]
    first: int
    last: int


class _Shard:
    def __init__(self, reply: Sequence[object], *, descending: bool, rotated: bool) -> None:
        self._descending = descending
        self._rotated = rotated
        self._parts = [_part(told) for told in cast(list[list[object]], reply[3])]
        self._left = [n for part in self._parts if isinstance(part, _Bits) for n in part.ordinals]
        self._found: dict[int, tuple[bytes, bytes | None]] = {}

    @property
    def count(self) -> int:
        return len(self._found) + len(self._left)

    @property
    def is_done(self) -> bool:
        return not self._left

    def slice(self, keys: Keys, sort: str) -> Command:
        asked = map(str, self._left[:SLICE_GROUPS])
        return ("EVALSHA", PLACES.digest, "2", keys.ordinal, keys.by(sort), *asked)

    def take(self, reply: tuple[list[bytes], list[bytes | None]]) -> None:
        asked, self._left = self._left[:SLICE_GROUPS], self._left[SLICE_GROUPS:]
        self._found.update(zip(asked, zip(*reply, strict=True), strict=True))

    def reply(self, told: Sequence[object]) -> Sequence[object] | None:
        position, _, count, _, moment = told
        listed: list[tuple[bytes, bytes]] = []
        for part in self._parts:
            if not isinstance(part, _Bits):
                listed.append(part)
                continue
            some = [self._found[n] for n in part.ordinals]
            if any(score is None for _, score in some):
                return None
            ordered = sorted(cast(list[tuple[bytes, bytes]], some), key=self._place, reverse=self._descending)
            listed += ordered[part.first : part.last + 1]
        ids, scores = [group_id for group_id, _ in listed], [score for _, score in listed]
        return [position, count, ids, scores, moment, [group_id for group_id, _ in self._found.values()]]

    def _place(self, listed: tuple[bytes, bytes]) -> Place:
        group_id, score = listed
        value = float(score)
        return (-inf if self._rotated and value == inf else value), group_id


def _part(told: Sequence[object]) -> _Bits | tuple[bytes, bytes]:
    if len(told) == 2:
        return cast(tuple[bytes, bytes], tuple(told))
    bits, base, first, last = cast(tuple[bytes, int, int, int], told)
    return _Bits(list(_ordinals(bits, base)), first, last)


def _ordinals(bits: bytes, base: int) -> Iterator[int]:
    """Of a bitmap of Redis, from the byte `base` on: the highest bit of a byte is the first."""
    for found in _NOT_ZERO.finditer(bits):
        byte, at = found.group()[0], 8 * (base + found.start())
        yield from (at + n for n in range(8) if byte << n & 128)
