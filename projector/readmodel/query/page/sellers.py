"""Sellers of many groups, read in several calls that hold Redis for a short time, and counted here. Pure.

Other commands run between two calls. The call that answers names the groups that commits changed meanwhile, with their
sellers, so what is counted is of its snapshot. Where they are too many for it, they are read in calls before it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.client.batches import NOTHING, Command
from projector.readmodel.query.bits import ordinals
from projector.readmodel.query.calls import SELLERS_FIRST, ReadSince
from projector.readmodel.query.lua.scripts import SELLERS
from projector.readmodel.schema.keys import Generation
from projector.readmodel.schema.ordinals import member_of

# Groups whose sellers are read by one call, in two milliseconds or so; of all shards together.
GROUPS_MAX = 1_000
# In place of a bound, where facets.lua names the groups that changed.
CHANGED = -1
_SEPARATOR = b"\xff"


class Sellers:
    """`commands` says what to call, `take` takes the answers, both for each round until `is_done`."""

    script = SELLERS

    def __init__(self) -> None:
        self._generation: Generation | None = None
        self._shards: list[_Shard | None] = []
        # Those of the current round.
        self._asked: list[Sequence[int]] = []

    @property
    def is_done(self) -> bool:
        return all(shard is None or not shard.has_more for shard in self._shards)

    def since(self, live: ActiveGeneration) -> Sequence[ReadSince | None]:
        """Returns since which commit the sellers of each shard are known, if they are. Drops another generation's."""
        if live.generation != self._generation:
            self._generation, self._shards = live.generation, [None] * len(live.shards)
        return [None if shard is None else shard.since for shard in self._shards]

    def begin(self, live: ActiveGeneration, replies: Sequence[Sequence[object]]) -> None:
        """`replies`: of combine.lua."""
        self.since(live)
        for number, reply in enumerate(replies):
            if reply[1] == SELLERS_FIRST:
                shard = self._shards[number] = self._shards[number] or _Shard()
                shard.begin(*cast(tuple[int, bytes, bytes], reply[2]))

    def commands(self, live: ActiveGeneration) -> list[Command]:
        """One for each shard."""
        self.since(live)
        most = GROUPS_MAX // len(live.shards) + 1
        self._asked = [() if shard is None else shard.next(most) for shard in self._shards]
        return [
            SELLERS.call(keys, (keys.row, keys.position), live.generation.nonce, b"".join(map(member_of, asked)))
            if asked
            else NOTHING
            for keys, asked in zip(live.shards, self._asked, strict=True)
        ]

    def take(self, replies: Sequence[object]) -> None:
        for number, (asked, reply) in enumerate(zip(self._asked, replies, strict=True)):
            shard = self._shards[number]
            if shard is None or not asked:
                continue
            if reply is None:
                # The generation is not there any more.
                self._shards[number] = None
            else:
                shard.take(asked, cast(list[bytes], reply))

    def counted(self, replies: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
        """Returns what aggregates.lua answers of each shard, with the facets counted that it left to the caller."""
        return [
            ([shard.counted(one) if shard and one[0] == CHANGED else one for one in facets], *others)
            for shard, (facets, *others) in zip(self._shards, replies, strict=True)
        ]


class _Shard:
    """`since`: the commit of the mask whose groups are read."""

    def __init__(self) -> None:
        self.since = ReadSince(0, b"")
        # Of the groups that were read: the sellers, joined. How many groups have the same.
        self._sellers: dict[int, bytes] = {}
        self._groups: Counter[bytes] = Counter()
        self._left: Iterator[int] = iter(())
        self._next: list[int] = []

    @property
    def has_more(self) -> bool:
        """Whether sellers are still to be read."""
        return bool(self._next)

    def begin(self, number: int, digest: bytes, mask: bytes, changed: Sequence[int] | None = None) -> None:
        """`changed`: the groups of which that is to be read again; None: all."""
        self.since = ReadSince(number, digest)
        if changed is None:
            self._sellers.clear()
            self._groups.clear()
        else:
            self._groups.subtract(self._forgotten(changed))
        self._left = (ordinal for ordinal in ordinals(mask) if ordinal not in self._sellers)
        self._next = list(islice(self._left, 1))

    def next(self, most: int) -> Sequence[int]:
        self._next += islice(self._left, most - len(self._next))
        return self._next

    def take(self, asked: Sequence[int], sellers: Sequence[bytes]) -> None:
        self._sellers.update(zip(asked, sellers, strict=True))
        self._groups.update(sellers)
        self._next = list(islice(self._left, 1))

    def counted(self, changes: Sequence[object]) -> list[object]:
        """`changes`: see facets.lua. Keeps its own count, which may be asked for again."""
        changed, sellers = cast(Sequence[int], changes[1::2]), cast(Sequence[bytes], changes[2::2])
        groups = self._groups.copy()
        groups.subtract(self._sellers[ordinal] for ordinal in changed if ordinal in self._sellers)
        groups.update(sellers)
        found: Counter[bytes] = Counter()
        for joined, number in groups.items():
            for seller in joined.split(_SEPARATOR):
                found[seller] += number
        # What is not listed has none.
        del found[b""]
        return [0, *(part for seller, number in found.items() if number for part in (seller, number))]

    def _forgotten(self, changed: Iterable[int]) -> Iterator[bytes]:
        for ordinal in changed:
            if (sellers := self._sellers.pop(ordinal, None)) is not None:
                yield sellers
