"""Documents of a large page, read after its ids: Lua takes several times as long as Redis to pass them on, and holds
Redis meanwhile. Pure.
"""

from collections.abc import Sequence
from typing import cast

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.client.batches import NOTHING, Block, Command
from projector.readmodel.client.errors import ReadModelFault
from projector.readmodel.query.calls import WHOLE
from projector.readmodel.query.lua.scripts import CHANGED
from projector.readmodel.query.page.known import CHANGES_MAX, Known
from projector.readmodel.schema.keys import Keys

# Documents of a shard that one call reads. A whole one takes from a kilobyte to a quarter of a megabyte. So the first
# call reads few, and each of the next about READ_BYTES, all shards together. That takes Redis and this process about a
# millisecond.
FIRST_ROWS = 10
READ_BYTES = 1024 * 1024
ROWS_MAX = 1000


class Documents:
    """`ids`: of groups of each shard, each once. `known`: what is known of each; it gets their documents."""

    def __init__(self, known: Sequence[Known], ids: Sequence[Sequence[bytes]], parts: int) -> None:
        self._known = known
        self._ids = ids
        self._parts = parts

    def commands(self, live: ActiveGeneration) -> list[Command | Block]:
        """One for each shard."""
        if live.generation != self._known[0].generation:
            return [NOTHING] * len(live.shards)
        return [self._block(*one) for one in zip(live.shards, self._known, self._ids, strict=True)]

    def next_rows(self) -> int:
        """How many documents of a shard to read next, if they are as large as these. Call it after `take`."""
        sizes = [
            len(known.rows.get(one, b"")) for known, ids in zip(self._known, self._ids, strict=True) for one in ids
        ]
        return max(1, min(READ_BYTES * len(sizes) // (len(self._ids) * max(sum(sizes), 1)), ROWS_MAX))

    def _block(self, keys: Keys, known: Known, ids: Sequence[bytes]) -> Block:
        parts = (keys.row, keys.rest) if self._parts == WHOLE else (keys.row,)
        read: list[Command] = [("HMGET", key, *ids) for key in parts if ids]
        # After them: what was not changed by then had not been when they were read.
        changed: Command = CHANGED.call(keys, (keys.position,), *known.moment, str(CHANGES_MAX))
        return Block((*read, changed))

    def take(self, live: ActiveGeneration, replies: Sequence[object]) -> bool:
        """Whether all that is listed is as it was at the moment of the list. Raises ReadModelFault."""
        if live.generation != self._known[0].generation:
            return False
        told = cast(Sequence[list[list[bytes | None] | None]], replies)
        are_right = [_take(*one) for one in zip(self._known, self._ids, told, strict=True)]
        return all(are_right)


def _take(known: Known, ids: Sequence[bytes], reply: list[list[bytes | None] | None]) -> bool:
    *parts, changed = reply
    placed = {placed.group_id for placed in known.places.values()}
    is_right = changed is not None and placed.union(ids).isdisjoint(changed)
    for group_id, *read in zip(ids, *cast(list[list[bytes | None]], parts), strict=bool(parts)):
        if None not in read:
            row, *rests = cast(list[bytes], read)
            known.rows[group_id] = row[:-1] + rests[0] if rests else row
        elif is_right:
            raise ReadModelFault(f"MISSING {group_id!r}")
    return is_right
