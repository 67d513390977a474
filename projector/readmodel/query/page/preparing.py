"""Masks of filters that are too much work for one call, prepared in several that hold Redis for a short time. Pure.

Other commands run between two calls. Groups that commits changed meanwhile may be wrong in the mask; the answering call
looks these up again, so the answer is of one snapshot. Where they are too many for it, it returns some, which repair
the mask, and is called again.
"""

from collections.abc import Iterable, Sequence
from operator import or_, xor
from typing import cast

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.client.batches import NOTHING, Command
from projector.readmodel.query.calls import BEHIND, PREPARE_FIRST, Call, Prepared
from projector.readmodel.query.lua.scripts import PREPARE
from projector.readmodel.schema.keys import Generation, Keys

_OPERATIONS = {b"OR": or_, b"XOR": xor}


class Preparing:
    """`commands` says what to call, `take` takes the answers, both for each round until `is_done`."""

    script = PREPARE

    def __init__(self, call: Call) -> None:
        self._call = call
        self._generation: Generation | None = None
        self._shards: list[_Shard | None] = []
        # Those of the current round.
        self._asked: list[_Shard | None] = []

    @property
    def is_done(self) -> bool:
        return all(shard is None or not shard.left for shard in self._shards)

    def prepared(self, live: ActiveGeneration) -> list[Prepared | None]:
        """Returns the mask of each shard that has one. A mask of another generation is dropped."""
        if live.generation != self._generation:
            self._generation, self._shards = live.generation, [None] * len(live.shards)
        return [None if shard is None else shard.prepared for shard in self._shards]

    def begin(self, live: ActiveGeneration, replies: Sequence[Sequence[object]]) -> None:
        """`replies`: of combine.lua."""
        self.prepared(live)
        for number, reply in enumerate(replies):
            if reply[1] == PREPARE_FIRST:
                self._shards[number] = _Shard(self._call, cast(list[int], reply[2]))
            elif reply[1] == BEHIND and (shard := self._shards[number]):
                shard.repair(*cast(tuple[int, bytes, list[int], list[int]], reply[2]))

    def commands(self, live: ActiveGeneration) -> list[Command]:
        """One for each shard."""
        self.prepared(live)
        self._asked = [shard if shard and shard.left else None for shard in self._shards]
        return [
            NOTHING if shard is None else shard.command(keys)
            for shard, keys in zip(self._asked, live.shards, strict=True)
        ]

    def take(self, replies: Sequence[object]) -> None:
        for shard, reply in zip(self._asked, replies, strict=True):
            if shard is not None:
                shard.take(*cast(tuple[int, bytes, bytes, int, bytes], reply))


class _Shard:
    """`left`: the filters whose masks are not made yet."""

    def __init__(self, call: Call, filters: Sequence[int]) -> None:
        self._call = call
        self._filters = filters
        self.left = list(filters)
        # The newest commit before the first call: later ones are left to the call that answers.
        self._commit: tuple[int, bytes] | None = None
        # Masks are integers whose lowest byte is the first, so lengths do not matter. The mask of all filters that are
        # done; that of the next one, and its next piece.
        self._all: int | None = None
        self._one, self._piece = 0, 1
        self._bits = bytearray()

    @property
    def prepared(self) -> Prepared | None:
        if self._commit is None or self.left:
            return None
        return Prepared(self._filters, bytes(self._bits), *self._commit)

    def command(self, keys: Keys) -> Command:
        return self._call.prepare(keys, self.left[0], self._piece)

    def take(self, piece: int, operation: bytes, bits: bytes, commit: int, digest: bytes) -> None:
        """As prepare.lua answers."""
        self._commit = self._commit or (commit, digest)
        self._one = _OPERATIONS[operation](self._one, int.from_bytes(bits, "little"))
        self._piece = piece
        if piece:
            return
        self._all = self._one if self._all is None else self._all & self._one
        self._one, self._piece = 0, 1
        self.left.pop(0)
        if not self.left:
            self._bits = bytearray(self._all.to_bytes(-(-self._all.bit_length() // 8), "little"))

    def repair(self, commit: int, digest: bytes, changed: Sequence[int], passing: Sequence[int]) -> None:
        """As combine.lua has it."""
        self._commit = commit, digest
        _set(self._bits, changed, is_in=False)
        _set(self._bits, passing, is_in=True)


def _set(bits: bytearray, ordinals: Iterable[int], *, is_in: bool) -> None:
    """Sets or clears bits; the first bit is the highest of the first byte, as in Redis."""
    for ordinal in ordinals:
        byte, bit = ordinal // 8, 128 >> ordinal % 8
        if byte >= len(bits):
            bits.extend(bytes(byte + 1 - len(bits)))
        bits[byte] = bits[byte] | bit if is_in else bits[byte] & ~bit
