"""The mask of filters with many members in sets of their own: put together in several calls, so that Redis is never
held for long. Pure.

Groups that come, or change, meanwhile are left to the call that answers the query: so all of an answer is of one
instant. Where they are too many for it, it looks up some of them, and is asked once more.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import msgspec
from msgspec import Struct

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.client.batches import NOTHING, Command
from projector.readmodel.query.prepare.bitmaps import bitmap
from projector.readmodel.query.prepare.sides import Side
from projector.readmodel.schema.keys import Generation, Keys

# Where select.lua has a count, it may say one of these: sides have to be gathered first; it has brought them up to
# date, as far as it had the time for.
UNGATHERED = -2
BEHIND = -3
# So often may it say that it is behind: each time it comes nearer, but where more changes than it can look up.
CATCH_UPS_MAX = 256


class Gathered(Struct, frozen=True):
    """`bits`: one for each ordinal, of the groups in all `sides`, which are their numbers as gathered.lua takes them.
    `since`: the moment since when what came or changed need not be in it, as changes.lua tells it.
    """

    sides: bytes
    bits: bytes
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

    def gathered(self, live: ActiveGeneration) -> list[Gathered | None]:
        """For each shard; None where nothing was."""
        self._look_at(live)
        return [None if shard is None else shard.gathered for shard in self._shards]

    def begin(self, live: ActiveGeneration, replies: Sequence[Sequence[object]]) -> bool:
        """Goes by what select.lua answers in those shards that say UNGATHERED or BEHIND. False: none does."""
        self._look_at(live)
        is_asked, sides = False, list[Side]()
        for number, (_, count, *more) in enumerate(replies):
            if count == UNGATHERED:
                sides = sides or list(self._sides())
                self._shards[number] = _Shard({n: sides[n - 1] for n in cast(list[int], more)})
            elif count == BEHIND:
                *since, numbers, bits = cast(list[bytes], more)
                self._shards[number] = _Shard({}, Gathered(numbers, bits, since))
            else:
                continue
            is_asked = True
        return is_asked

    def slices(self, live: ActiveGeneration) -> list[Command]:
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

    def _look_at(self, live: ActiveGeneration) -> None:
        """What was gathered in another generation is worth nothing."""
        if live.generation != self._generation:
            self._generation, self._shards = live.generation, [None] * len(live.shards)


class _Shard:
    """`left`: sides by their numbers. `gathered`: what there is already, if nothing is left."""

    __slots__ = ("_left", "_of_all", "_of_one", "_piece", "_sides", "_since", "gathered")

    def __init__(self, left: Mapping[int, Side], gathered: Gathered | None = None) -> None:
        self.gathered = gathered
        self._sides = msgspec.msgpack.encode([*left])
        self._left = dict(left)
        # The moment of the first slice: what comes later is left to the answer.
        self._since: Sequence[bytes] = ()
        # Masks are numbers whose lowest byte is the first, so that it does not matter how many there are. Of all sides
        # that are done; of the next one, and how many of its pieces that are.
        self._of_all: int | None = None
        self._of_one = self._piece = 0

    @property
    def is_done(self) -> bool:
        return not self._left

    def slice(self, keys: Keys) -> Command:
        return self._left[next(iter(self._left))].gather(keys, self._piece)

    def take(self, reply: Sequence[object]) -> None:
        pieces, bits, members = cast(tuple[int, bytes, list[bytes | None]], reply[:3])
        self._since = self._since or cast(list[bytes], reply[3:])
        of_members = bitmap(int(one) for one in members if one is not None)
        some = int.from_bytes(bits, "little") | int.from_bytes(of_members, "little")
        number, side = next(iter(self._left.items()))
        self._piece += pieces
        if self._piece < side.pieces:
            self._of_one |= some
            return
        found = self._of_one ^ some if side.left_out else self._of_one | some
        self._of_all = found if self._of_all is None else self._of_all & found
        self._of_one = self._piece = 0
        del self._left[number]
        if self.is_done:
            mask = self._of_all.to_bytes(-(-self._of_all.bit_length() // 8), "little")
            self.gathered = Gathered(self._sides, mask, self._since)
