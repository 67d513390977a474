"""Documents of a large page, read after its ids: Lua takes several times as long as Redis to pass them on, and holds
Redis meanwhile. Pure.

Those that are not as they were at the instant of the list are not told: so all of an answer is of one instant. Where
there are some, the list is asked for once more, and with it they, and no others.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import cast

import msgspec
from msgspec import Struct

from api.batches import NOTHING, Block, Command
from api.errors import ReadModelFault
from api.live import Live
from api.scripts import CHANGED
from projector.readmodel.keys import Generation, Keys

# So often, where a list has to be asked for anew; then they are read together with it, for it changes too fast.
TRIES_MAX = 2
# Groups that came or changed meanwhile; of more it is not asked which.
CHANGES_MAX = 400


class Known(Struct, frozen=True):
    """Documents by their ids, as they were at `moment`, or later if they changed."""

    generation: Generation
    moment: Sequence[bytes]
    rows: Mapping[bytes, bytes]

    def arguments(self) -> tuple[str | bytes, ...]:
        """For a step of -1: see window.lua."""
        ids = msgspec.msgpack.encode([group_id.decode() for group_id in self.rows])
        return (ids, *self.moment, str(CHANGES_MAX))

    def completed(self, ids: Sequence[bytes], told: Sequence[bytes | None]) -> bytes:
        """JSON objects joined by commas. `told`: documents, None for one that is known."""
        pairs = zip(ids, told, strict=True)
        return b",".join([self.rows[group_id] if row is None else row for group_id, row in pairs])


class Documents:
    """`ids`: in the order of the page. `replies`: those of window.lua, without documents, for each shard of `live`, as
    places.py may have completed them. `whole`: more than the default fields.
    """

    def __init__(self, live: Live, ids: Sequence[bytes], replies: Sequence[Sequence[object]], *, whole: bool) -> None:
        self._live = live
        self._whole = whole
        self._shard_of = [live.generation.shard_of(group_id.decode()) for group_id in ids]
        self._shards = [_Shard(reply) for reply in replies]
        for group_id, number in zip(ids, self._shard_of, strict=True):
            self._shards[number].ids.append(group_id)

    @property
    def counts(self) -> list[int]:
        """Of the documents in each shard."""
        return [len(shard.ids) for shard in self._shards]

    def commands(self, live: Live) -> list[Command | Block]:
        """One for each shard."""
        if live.generation != self._live.generation:
            return [NOTHING] * len(live.shards)
        return [shard.block(keys, whole=self._whole) for shard, keys in zip(self._shards, live.shards, strict=True)]

    def known(self, live: Live, replies: Sequence[object]) -> Known | None:
        """What was read, of a shard that is alone, if it had listed all by itself."""
        if live.generation != self._live.generation or len(self._shards) > 1:
            return None
        return self._shards[0].known(live.generation, cast(list[list[bytes | None] | None], replies[0]))

    def rows(self, live: Live, replies: Sequence[object]) -> bytes | None:
        """JSON objects joined by commas; None if they are not those of the list any more. Raises ReadModelFault."""
        if live.generation != self._live.generation:
            return None
        told = [
            shard.rows(cast(list[list[bytes | None] | None], reply))
            for shard, reply in zip(self._shards, replies, strict=True)
        ]
        found = [iter(rows) for rows in told if rows is not None]
        return b",".join([next(found[number]) for number in self._shard_of]) if len(found) == len(told) else None


class _Shard:
    """`ids`: of the documents of this shard. `listed`: groups that were listed after the moment, and must be as they
    were, too.
    """

    def __init__(self, reply: Sequence[object]) -> None:
        moment, *listed = reply[4:]
        self.ids: list[bytes] = []
        self._moment = cast(list[bytes], moment)
        self._listed = cast(list[list[bytes]], listed)

    def block(self, keys: Keys, *, whole: bool) -> Block:
        parts = (keys.row, keys.rest) if whole else (keys.row,)
        read: list[Command] = [("HMGET", key, *self.ids) for key in parts if self.ids]
        # After them: what was not changed by then had not been when they were read.
        changed: Command = ("EVALSHA", CHANGED.digest, "1", keys.position, *self._moment, str(CHANGES_MAX))
        return Block((*read, changed))

    def known(self, generation: Generation, reply: Sequence[list[bytes | None] | None]) -> Known | None:
        if self._listed:
            return None
        parts = cast(list[list[bytes | None]], reply[:-1])
        found = {group_id: _joined(read) for group_id, *read in zip(self.ids, *parts, strict=True) if None not in read}
        return Known(generation, self._moment, found)

    def rows(self, reply: Sequence[list[bytes | None] | None]) -> list[bytes] | None:
        *parts, changed = reply
        if changed is None or not set(changed).isdisjoint(chain(self.ids, *self._listed)):
            return None
        for part in cast(list[list[bytes | None]], parts):
            if None in part:
                raise ReadModelFault(f"MISSING {self.ids[part.index(None)]!r}")
        return [_joined(read) for read in zip(*cast(list[list[bytes]], parts), strict=True)]


def _joined(parts: Sequence[bytes | None]) -> bytes:
    """A row, and what follows it in the document, if that was read."""
    row, *rests = cast(Sequence[bytes], parts)
    return row[:-1] + rests[0] if rests else row
