"""Masks of filters that are too much work for one call, prepared in several that hold Redis for a short time. Pure.

Other commands run between two calls. Groups that commits changed meanwhile may be wrong in the mask; the answering call
looks these up again, so the answer is of one snapshot. Where they are too many for it, calls before it repair the mask.
"""

from collections.abc import Iterable, Sequence
from operator import or_, xor
from typing import cast

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.client.batches import NOTHING, Command
from projector.readmodel.client.script import Script
from projector.readmodel.query.calls import BEHIND, PREPARE_FIRST, Call, Prepared
from projector.readmodel.query.lua.scripts import PREPARE, REPAIR
from projector.readmodel.schema.keys import Generation, Keys


class Preparing:
    """`commands` says what to call, `take` takes the answers, both for each round until `is_done`; once more to repair
    a mask that is behind.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._generation: Generation | None = None
        self._shards: list[_Shard | None] = []
        # Those of the current round.
        self._asked: list[_Shard | None] = []

    @property
    def script(self) -> Script:
        """Of the next commands."""
        return REPAIR if self.is_done else PREPARE

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
            shard = self._shards[number]
            if shard is not None:
                shard.is_behind = reply[1] == BEHIND

    def commands(self, live: ActiveGeneration) -> list[Command]:
        """One for each shard."""
        self.prepared(live)
        self._asked = [shard if shard and shard.is_asked(repairing=self.is_done) else None for shard in self._shards]
        return [
            NOTHING if shard is None else shard.command(keys)
            for shard, keys in zip(self._asked, live.shards, strict=True)
        ]

    def take(self, replies: Sequence[object]) -> None:
        for shard, reply in zip(self._asked, replies, strict=True):
            if shard is not None:
                shard.take(reply)


class _Shard:
    """`left`: the filters whose masks are not made yet."""

    def __init__(self, call: Call, filters: Sequence[int]) -> None:
        self._call = call
        self._filters = filters
        self.left = list(filters)
        self.is_behind = False
        # The newest commit before the first call: later ones are left to the call that answers.
        self._commit: tuple[int, bytes] | None = None
        # Masks are integers whose lowest byte is the first, so lengths do not matter. The mask of all filters that are
        # done; that of the next one, and the number of its pieces in it.
        self._all: int | None = None
        self._one = self._pieces = 0
        self._bits = bytearray()

    @property
    def prepared(self) -> Prepared | None:
        if self._commit is None or self.left:
            return None
        return Prepared(self._filters, bytes(self._bits), *self._commit)

    def is_asked(self, *, repairing: bool) -> bool:
        return self.is_behind if repairing else bool(self.left)

    def command(self, keys: Keys) -> Command:
        prepared = self.prepared
        if prepared is None:
            return self._call.prepare(keys, self.left[0], self._pieces)
        return self._call.repair(keys, prepared)

    def take(self, reply: object) -> None:
        if self.left:
            self._add(*cast(tuple[int, bytes, int, bytes], reply))
        elif reply is None:
            # The commits since are not known: begin again.
            self.left, self._commit, self._all = list(self._filters), None, None
        else:
            commit, digest, changed, passing = cast(tuple[int, bytes, list[int], list[int]], reply)
            self._commit, self.is_behind = (commit, digest), False
            _set(self._bits, changed, is_in=False)
            _set(self._bits, passing, is_in=True)

    def _add(self, pieces: int, bits: bytes, commit: int, digest: bytes) -> None:
        self._commit = self._commit or (commit, digest)
        number = self.left[0]
        combine = or_ if number <= self._call.values else xor
        self._one = combine(self._one, int.from_bytes(bits, "little"))
        self._pieces += pieces
        if self._pieces < self._call.pieces[number - 1]:
            return
        self._all = self._one if self._all is None else self._all & self._one
        self._one = self._pieces = 0
        self.left.pop(0)
        if not self.left:
            self._bits = bytearray(self._all.to_bytes(-(-self._all.bit_length() // 8), "little"))


def _set(bits: bytearray, ordinals: Iterable[int], *, is_in: bool) -> None:
    """Sets or clears bits; the first bit is the highest of the first byte, as in Redis."""
    for ordinal in ordinals:
        byte, bit = ordinal // 8, 128 >> ordinal % 8
        if byte >= len(bits):
            bits.extend(bytes(byte + 1 - len(bits)))
        bits[byte] = bits[byte] | bit if is_in else bits[byte] & ~bit
