"""Masks of filters with many members in sets of their own: put together in several calls, so that Redis is never held
for long. Pure.

Groups that come, or change, meanwhile are left to the call that answers the query: so all of an answer is of one
instant. Where they are too many for it, it looks up some of them, and is asked once more.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from msgspec import Struct

from api.batches import NOTHING, Command
from api.live import Live
from api.sides import Side
from projector.readmodel.keys import Generation, Keys

# Where select.lua has a count, it may say one of these: sides have to be gathered first; it has brought them up to
# date, as far as it had the time for.
UNGATHERED = -2
BEHIND = -3
# So often may it say that it is behind: each time it comes nearer, but where more changes than it can look up.
CATCH_UPS_MAX = 256
# Values that tell a moment.
_MOMENT = 3


class Gathered(Struct, frozen=True):
    """`sides`: of each, by its number, a bit for each ordinal. `since`: the moment since when what came or changed need
    not be in it, as changes.lua tells it.
    """

    sides: Mapping[int, bytes]
    since: Sequence[bytes]


class Gathering:
    """`slices` says what to ask, `take` takes the answers; both once a round, until `is_done`."""

    def __init__(self, sides: Callable[[], Sequence[Side]]) -> None:
        # Made when they are needed: most queries gather nothing.
        self._sides = sides
        self._generation: Generation | None = None
        self._shards: list[_Shard | None] = []

    @property
    def is_done(self) -> bool:
        return all(shard is None or shard.is_done for shard in self._shards)

    def gathered(self, live: Live) -> list[Gathered | None]:
        """For each shard; None where nothing was."""
        self._look_at(live)
        return [None if shard is None else shard.gathered for shard in self._shards]

    def begin(self, live: Live, replies: Sequence[Sequence[object]]) -> bool:
        """Goes by what select.lua answers in those shards that say UNGATHERED or BEHIND. False: none does."""
        self._look_at(live)
        is_asked, sides = False, list[Side]()
        for number, (_, count, *more) in enumerate(replies):
            if count == UNGATHERED:
                sides = sides or list(self._sides())
                self._shards[number] = _Shard({n: sides[n - 1] for n in cast(list[int], more)})
            elif count == BEHIND:
                since, pairs = more[:_MOMENT], more[_MOMENT:]
                bits = dict(zip(cast(list[int], pairs[::2]), cast(list[bytes], pairs[1::2]), strict=True))
                self._shards[number] = _Shard({}, bits, cast(list[bytes], since))
            else:
                continue
            is_asked = True
        return is_asked

    def slices(self, live: Live) -> list[Command]:
        """One for each shard."""
        self._look_at(live)
        return [
            NOTHING if shard is None or shard.is_done else shard.slice(keys)
            for shard, keys in zip(self._shards, live.shards, strict=True)
        ]

    def take(self, replies: Sequence[object]) -> None:
        for shard, reply in zip(self._shards, replies, strict=True):
            if shard is not None and not shard.is_done:
                shard.take(cast(list[object], reply))

    def _look_at(self, live: Live) -> None:
        """What was gathered in another generation is worth nothing."""
        if live.generation != self._generation:
            self._generation, self._shards = live.generation, [None] * len(live.shards)


class _Shard:
    """`left`: sides by their numbers. `bits`: of those that are done. `since`: the moment of the first slice, for what
    comes later is left to the answer.
    """

    __slots__ = ("_done", "_found", "_left", "_piece", "_since")

    def __init__(
        self, left: Mapping[int, Side], bits: Mapping[int, bytes] | None = None, since: Sequence[bytes] = ()
    ) -> None:
        self._left = dict(left)
        self._done = dict(bits or {})
        self._since = since
        # Of the side that is the next of those left: its bits, and how many pieces they are of.
        self._found = self._piece = 0

    @property
    def gathered(self) -> Gathered | None:
        return Gathered(self._done, self._since) if self.is_done else None

    @property
    def is_done(self) -> bool:
        return not self._left

    def slice(self, keys: Keys) -> Command:
        return self._left[next(iter(self._left))].gather(keys, self._piece)

    def take(self, reply: Sequence[object]) -> None:
        bits, pieces = cast(tuple[bytes, int], reply[:2])
        self._since = self._since or cast(list[bytes], reply[2:])
        # The first byte is the lowest here, so that it does not matter how many there are.
        self._found |= int.from_bytes(bits, "little")
        self._piece += pieces
        number = next(iter(self._left))
        if self._piece >= self._left[number].pieces:
            self._done[number] = self._found.to_bytes(-(-self._found.bit_length() // 8), "little")
            self._found = self._piece = 0
            del self._left[number]
