"""What `q` looks for, looked for slice by slice, so that Redis is never held for long. Pure.

Lines that come, or are edited, after their slice are left to the call that answers the query: so all of an answer is of
one instant. Where they are too many by then, the search begins anew.
"""

from collections.abc import Sequence
from typing import cast

from msgspec import Struct

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.client.batches import NOTHING, Command
from projector.readmodel.query.lua.scripts import SEARCH
from projector.readmodel.schema.keys import LINES, Generation, Keys

# Of one round, all shards together: about half a megabyte.
SLICE_CHUNKS = 96
# Where select.lua has a count, it may say this: the shard has to be searched first.
UNSEARCHED = -1


class Found(Struct, frozen=True):
    """A bit for each line of the first `chunks` chunks of a shard, as it was at some time since the edit `edits`."""

    bits: bytes
    chunks: int
    edits: int


class Search:
    """`slices` says what to ask, `take` takes the answers; both once a round, until `is_done`."""

    def __init__(self, needle: str) -> None:
        self._needle = needle
        self._generation: Generation | None = None
        self._shards: list[_Shard | None] = []

    @property
    def is_done(self) -> bool:
        return all(shard is None or shard.is_done for shard in self._shards)

    def found(self, live: ActiveGeneration) -> list[Found | None]:
        """For each shard; None where it was not searched."""
        if live.generation != self._generation:
            return [None] * len(live.shards)
        return [None if shard is None else shard.found for shard in self._shards]

    def begin(self, live: ActiveGeneration, counts: Sequence[object]) -> bool:
        """Anew, in those shards whose count is UNSEARCHED. False: in none."""
        if live.generation != self._generation:
            self._generation, self._shards = live.generation, [None] * len(live.shards)
        needed = [number for number, count in enumerate(counts) if count == UNSEARCHED]
        for number in needed:
            self._shards[number] = _Shard()
        return bool(needed)

    def slices(self, live: ActiveGeneration) -> list[Command]:
        """One for each shard."""
        if live.generation != self._generation:
            self.begin(live, [UNSEARCHED] * len(live.shards))
        chunks = max(1, SLICE_CHUNKS // len(self._shards))
        return [
            NOTHING if shard is None or shard.is_done else shard.slice(keys, self._needle, chunks)
            for shard, keys in zip(self._shards, live.shards, strict=True)
        ]

    def take(self, replies: Sequence[object]) -> None:
        for shard, reply in zip(self._shards, replies, strict=True):
            if shard is not None and not shard.is_done:
                shard.take(cast(list[object], reply))


class _Shard:
    """`chunks`, `edits`: as the first slice tells them, for what comes later is left to the answer."""

    __slots__ = ("_bits", "_chunks", "_edits", "_looked")

    def __init__(self) -> None:
        self._bits: list[bytes] = []
        self._looked = 0
        self._chunks: int | None = None
        self._edits = 0

    @property
    def is_done(self) -> bool:
        return self._chunks is not None and self._looked >= self._chunks

    @property
    def found(self) -> Found:
        assert self._chunks is not None
        return Found(b"".join(self._bits), self._chunks, self._edits)

    def slice(self, keys: Keys, needle: str, chunks: int) -> Command:
        names = (keys.text, keys.ordinal, keys.edited)
        return SEARCH.call(keys, names, needle, str(self._looked), str(chunks))

    def take(self, reply: Sequence[object]) -> None:
        bits, full, edits = cast(tuple[bytes, int, int], reply)
        if self._chunks is None:
            self._chunks, self._edits = full, edits
        # A Redis that has lost what it had has fewer.
        self._chunks = min(self._chunks, full)
        self._bits.append(bits)
        self._looked += len(bits) * 8 // LINES
