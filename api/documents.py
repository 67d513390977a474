"""Documents of a large page, read after its ids: Lua takes several times as long as Redis to pass them on, and holds
Redis meanwhile. Pure.

Those that are not as they were at the instant of the list are not told: so all of an answer is of one instant.
"""

from collections.abc import Sequence
from itertools import chain
from typing import cast

from api.batches import Block, Command
from api.errors import ReadModelFault
from api.live import Live
from api.scripts import CHANGED
from projector.readmodel.keys import Keys

# So often; then they are read together with the list, for it changes too fast.
TRIES_MAX = 2
# Groups that came or changed meanwhile; of more it is not asked which.
CHANGES_MAX = 400


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
            return [("PING",)] * len(live.shards)
        return [shard.block(keys, whole=self._whole) for shard, keys in zip(self._shards, live.shards, strict=True)]

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

    def rows(self, reply: Sequence[list[bytes | None] | None]) -> list[bytes] | None:
        *parts, changed = reply
        if changed is None or not set(changed).isdisjoint(chain(self.ids, *self._listed)):
            return None
        for part in cast(list[list[bytes | None]], parts):
            if None in part:
                raise ReadModelFault(f"MISSING {self.ids[part.index(None)]!r}")
        rows, *rests = cast(list[list[bytes]], parts or [[]])
        return [row[:-1] + rest for row, rest in zip(rows, *rests, strict=True)] if rests else rows
