"""Ordinals for new groups, reserved in blocks, so that two writers of a shard do not wait for each other.

A block whose writer ends is not used up: a hole is a zero bit. A failover may lose a reservation, so the commit checks
that the ordinals it gives are free.
"""

from typing import Any, cast

from projector.readmodel.schema.keys import Generation
from projector.readmodel.schema.ordinals import BLOCK
from projector.store.nodes import Nodes

# Writes nothing into a generation that is lost or deleted: any block will do then, since no commit will be stored.
_RESERVE = """#!lua
if redis.call('HEXISTS', KEYS[1], 'version') == 0 then
  return tonumber(ARGV[1])
end
return redis.call('INCRBY', KEYS[2], ARGV[1])
"""


class Ordinals:
    """Methods raise StoreUnavailable."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._left: dict[tuple[Generation, int], list[int]] = {}

    def take(self, generation: Generation, shard: int) -> int:
        """Returns an ordinal that no writer of this generation has taken, unless a failover has lost a reservation."""
        left = self._left.setdefault((generation, shard), [])
        if not left:
            start = self.reserve(generation, shard, BLOCK)
            left += reversed(range(start, start + BLOCK))
        return left.pop()

    def reserve(self, generation: Generation, shard: int, count: int) -> int:
        """Reserves consecutive ordinals, a multiple of BLOCK, and returns the first."""
        keys = generation.keys(shard)
        with self._nodes.errors():
            client: Any = self._nodes.of(keys.meta)
            return cast(int, client.eval(_RESERVE, 3, keys.meta, keys.ordinals, keys.absent, count)) - count

    def drop(self, generation: Generation, shard: int) -> None:
        """Gives up what is left of the reserved block: another writer has it."""
        self._left.pop((generation, shard), None)
