"""What has been read of a shard for a large page: ids and scores of groups that select.lua tells as bits, and their
documents. Pure.

It is read after the list, some at a time, for Redis would be held for long. If it changes meanwhile, it is not of one
instant. Then the list is asked for once more, and the answer tells what of all this is out of date, and some of what is
missing: so it comes to an end though the list changes all the time.
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

import msgspec

from projector.readmodel.query.calls import WHOLE
from projector.readmodel.query.page.merge import place
from projector.readmodel.query.prepare.bitmaps import bitmap, ordinals_in
from projector.readmodel.schema.keys import Generation

# Where select.lua has a count, it may say this: some of the page is told as bits.
UNLISTED = -4
# Groups of which it is told that they came or changed; of more nobody asks which.
CHANGES_MAX = 500
# Missing groups that are told with the list: about a millisecond's, with the default fields or with all. The next time
# twice as many, but not more than so many times.
TOLD_HEADS, TOLD_WHOLE = 100, 30
TIMES_MAX = 8
# So often is it asked for, after what was read in vain.
RENEWALS_MAX = 16


class Placed(NamedTuple):
    group_id: bytes
    score: bytes


class Known:
    """What is put into `rows`, documents by id, and `places`, by ordinal, is read after `moment`: it is as it was then,
    or has changed since.

    `reply`: what window.lua answers where documents are read afterwards. `parts` of each document: HEADS or WHOLE.
    """

    def __init__(self, generation: Generation, reply: Sequence[object], parts: int) -> None:
        self.generation = generation
        self.rows: dict[bytes, bytes] = {}
        self.places: dict[int, Placed] = {}
        self._most = TOLD_WHOLE if parts == WHOLE else TOLD_HEADS
        self._most_at_last = TIMES_MAX * self._most
        self._see(reply)

    def arguments(self) -> tuple[str | bytes, ...]:
        """For parts below 0: see window.lua."""
        ids = [group_id.decode() for group_id in self.rows]
        placed = bitmap(ordinal for ordinal, placed in self.places.items() if placed.group_id in self.rows)
        return (msgspec.msgpack.encode(ids), placed, *self.moment, str(CHANGES_MAX), str(self._most))

    def renew(self, reply: Sequence[object]) -> None:
        """To what is told at a later moment. `reply`: to a call with these arguments."""
        self._see(reply)
        self._most = min(2 * self._most, self._most_at_last)
        changed, ids, documents, ordinals, scores = cast(
            tuple[tuple[list[bytes], list[int]] | None, list[bytes], list[bytes], list[int], list[bytes]], reply[5]
        )
        if changed is None:
            self.rows, self.places = {}, {}
        else:
            for group_id, ordinal in zip(*changed, strict=True):
                self.rows.pop(group_id, None)
                self.places.pop(ordinal, None)
        self.rows.update(zip(ids, documents, strict=True))
        self.places.update(zip(ordinals, map(Placed, ids, scores), strict=False))

    def _see(self, reply: Sequence[object]) -> None:
        self._reply = reply
        self.moment = cast(list[bytes], reply[4])
        told = cast(list[list[object]], reply[3]) if reply[1] == UNLISTED else []
        self._told = [_part(one) for one in told]

    @property
    def unplaced(self) -> list[int]:
        """Ordinals whose ids and scores are missing."""
        bits = [part for part in self._told if isinstance(part, _Bits)]
        return [ordinal for part in bits for ordinal in part.ordinals if ordinal not in self.places]

    @property
    def unread(self) -> list[bytes]:
        """Groups that are listed, or next to those, and whose documents are missing."""
        told = [part.group_id for part in self._told if isinstance(part, Placed)]
        named = told if self._reply[1] == UNLISTED else cast(list[bytes], self._reply[2])
        near = (*named, *(placed.group_id for placed in self.places.values()))
        return [group_id for group_id in dict.fromkeys(near) if group_id not in self.rows]

    def listed(self, descending: bool, rotated: bool) -> Sequence[object]:
        """The reply, as if the script had listed all itself. None may be unplaced."""
        if self._reply[1] != UNLISTED:
            return self._reply
        found: list[Placed] = []
        for part in self._told:
            if isinstance(part, _Bits):
                some = [self.places[ordinal] for ordinal in part.ordinals]
                some.sort(key=lambda placed: place(float(placed.score), placed.group_id, rotated), reverse=descending)
                found += some[part.first : part.last + 1]
            else:
                found.append(part)
        position, _, count, _, moment, *_ = self._reply
        return [position, count, [group_id for group_id, _ in found], [score for _, score in found], moment]


class _Bits(NamedTuple):
    """Of the groups with these ordinals, in the order of the list, those at these ranks."""

    ordinals: Sequence[int]
    first: int
    last: int


def _part(told: Sequence[object]) -> _Bits | Placed:
    if len(told) == 2:
        return Placed(*cast(tuple[bytes, bytes], told))
    bits, base, first, last = cast(tuple[bytes, int, int, int], told)
    return _Bits(list(ordinals_in(bits, base)), first, last)
