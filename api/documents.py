"""Documents of a large page, read after its ids: Lua takes several times as long as Redis to pass them on, and holds
Redis meanwhile. Pure.

Those that are not as they were at the instant of the list are not told: so all of an answer is of one instant.
"""

from collections.abc import Sequence
from typing import cast

from api.batches import Block, Command
from api.errors import ReadModelFault
from api.live import Live
from api.scripts import CHANGED
from projector.readmodel.keys import Keys

# So often; then they are read together with the list, for it changes too fast.
TRIES_MAX = 4
# Groups that came or changed meanwhile; of more it is not asked which.
CHANGES_MAX = 400


class Documents:
    """`ids`: in the order of the page. `replies`: those of window.lua, without documents, for each shard of `live`.
    `whole`: more than the default fields.
    """

    def __init__(self, live: Live, ids: Sequence[bytes], replies: Sequence[Sequence[object]], *, whole: bool) -> None:
        self._live = live
        self._moments = cast(list[list[bytes]], [reply[4] for reply in replies])
        self._whole = whole
        self._shard_of = [live.generation.shard_of(group_id.decode()) for group_id in ids]
        self._ids: list[list[bytes]] = [[] for _ in live.shards]
        for group_id, number in zip(ids, self._shard_of, strict=True):
            self._ids[number].append(group_id)

    @property
    def counts(self) -> list[int]:
        """Of the documents in each shard."""
        return [len(ids) for ids in self._ids]

    def commands(self, live: Live) -> list[Command | Block]:
        """One for each shard."""
        if live.generation != self._live.generation:
            return [("PING",)] * len(live.shards)
        return [
            self._block(keys, ids, moment) if ids else ("PING",)
            for keys, ids, moment in zip(live.shards, self._ids, self._moments, strict=True)
        ]

    def rows(self, live: Live, replies: Sequence[object]) -> bytes | None:
        """JSON objects joined by commas; None if they are not those of the list any more. Raises ReadModelFault."""
        if live.generation != self._live.generation:
            return None
        found = []
        for ids, reply in zip(self._ids, replies, strict=True):
            rows = self._rows(ids, cast(list[list[bytes] | None], reply)) if ids else []
            if rows is None:
                return None
            found.append(iter(rows))
        return b",".join([next(found[number]) for number in self._shard_of])

    def _block(self, keys: Keys, ids: list[bytes], moment: Sequence[bytes]) -> Block:
        parts = (keys.row, keys.rest) if self._whole else (keys.row,)
        read: list[Command] = [("HMGET", key, *ids) for key in parts]
        # After them: what was not changed by then had not been when they were read.
        return Block((*read, ("EVALSHA", CHANGED.digest, "1", keys.position, *moment, str(CHANGES_MAX))))

    def _rows(self, ids: list[bytes], reply: Sequence[list[bytes] | None]) -> list[bytes] | None:
        *parts, changed = reply
        if changed is None or not set(changed).isdisjoint(ids):
            return None
        for part in cast(list[list[bytes | None]], parts):
            if None in part:
                raise ReadModelFault(f"MISSING {ids[part.index(None)]!r}")
        rows, *rests = cast(list[list[bytes]], parts)
        return [row[:-1] + rest for row, rest in zip(rows, *rests, strict=True)] if rests else rows
