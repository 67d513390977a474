"""The simulated read model in memory: does to a shard what commit.lua does, from the arguments of that script.

`tests/chaos/test_store.py` compares it with real servers: it must not be more forgiving.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from hashlib import sha1
from typing import NamedTuple

from msgspec import Struct, field

from events.logs.log import Partition
from projector.anchors import Anchors, unpacked
from projector.project import Stored
from projector.readmodel.schema.keys import VERSION, Generation
from projector.store.commit import Outcome
from tests.chaos.simulation.request import Bits, Request, by, parsed
from tests.fields import FACET_FIELDS

REVISION_BYTES = 8
BROAD_GROUPS_MIN = 1024
LINES = 128
CHANGES_MAX = 4096

Positions = Sequence[tuple[str, int, int]]
Step = Callable[[], None]


class Torn(Exception):
    """A command of a commit has failed."""


class Note(NamedTuple):
    """A commit that is decided: its arguments, and what it depends on beside them, as absolute values."""

    arguments: list[bytes]
    request: Request
    tally: dict[str, int]
    redriven: int
    # The entry of `changed`, and its score.
    change: tuple[bytes, float] | None


class Shard(Struct):
    """The keys of a shard, by name without prefix. `numbers`: position and tally."""

    meta: dict[str, str] = field(default_factory=dict)
    position: dict[str, int] = field(default_factory=dict)
    tally: dict[str, int] = field(default_factory=dict)
    ordinals: int = 0
    hashes: dict[str, dict[bytes, bytes]] = field(default_factory=dict)
    sets: dict[str, dict[bytes, float]] = field(default_factory=dict)
    bits: dict[str, bytearray] = field(default_factory=dict)
    # A half written commit.
    note: Note | None = None

    def copy(self) -> "Shard":
        return Shard(
            dict(self.meta),
            dict(self.position),
            dict(self.tally),
            self.ordinals,
            {name: dict(fields) for name, fields in self.hashes.items()},
            {name: dict(members) for name, members in self.sets.items()},
            {name: bytearray(bits) for name, bits in self.bits.items()},
            self.note,
        )

    def fields(self, name: str) -> Mapping[bytes, bytes]:
        return self.hashes.get(name, {})

    def hash(self, name: str) -> dict[bytes, bytes]:
        """For writing."""
        return self.hashes.setdefault(name, {})

    def members(self, name: str) -> Mapping[bytes, float]:
        return self.sets.get(name, {})

    def zset(self, name: str) -> dict[bytes, float]:
        """For writing."""
        return self.sets.setdefault(name, {})


class Memory:
    """A server's data. Every method is atomic, like a script."""

    def __init__(self) -> None:
        self.live: Generation | None = None
        self.end: dict[str, int] = {}
        # Partitions whose log is known to have diverged.
        self.diverged: set[str] = set()
        self.shards: dict[tuple[int, int], Shard] = {}
        self.outcomes: dict[Outcome, int] = dict.fromkeys(Outcome, 0)

    def copy(self) -> "Memory":
        other = Memory()
        other.live, other.end = self.live, dict(self.end)
        other.shards = {name: shard.copy() for name, shard in self.shards.items()}
        return other

    def become(self, other: "Memory") -> None:
        """Loses writes, as a restart from an older file does."""
        older = other.copy()
        self.live, self.end, self.shards = older.live, older.end, older.shards

    def shard(self, generation: Generation, shard: int) -> Shard:
        return self.shards.setdefault((generation.number, shard), Shard())

    def commit(
        self, generation: Generation, shard: int, arguments: list[bytes], tear: random.Random | None = None
    ) -> Outcome:
        """`tear`: if anything is written, one of the commands fails, at random. Raises Torn."""
        part, request = self.shards.get((generation.number, shard), Shard()), parsed(arguments)
        outcome = self.closed(generation, part) or self.redo(part, arguments, tear) or self.refusal(part, request)
        if outcome is None:
            self.write(part, self.note(part, arguments, request), tear)
            outcome = Outcome.STORED
        self.outcomes[outcome] += 1
        return outcome

    def redo(self, part: Shard, arguments: list[bytes] | None, tear: random.Random | None = None) -> Outcome | None:
        note = part.note
        if note is None:
            return None
        self.write(part, note, tear)
        return Outcome.STORED if arguments == note.arguments else Outcome.FINISHED

    # Checks, in their order.

    def closed(self, generation: Generation, part: Shard) -> Outcome | None:
        meta = part.meta
        if "version" not in meta:
            return None
        is_other = meta["version"] != str(VERSION) or meta.get("nonce", generation.nonce) != generation.nonce
        return Outcome.SEALED if is_other or "sealed" in meta else None

    def refusal(self, part: Shard, request: Request) -> Outcome | None:
        return (
            self.elsewhere(part, request.positions)
            or self.gone(part, request.unparked)
            or self.taken(part, request)
            or self.changed(part, request)
        )

    def elsewhere(self, part: Shard, positions: Positions) -> Outcome | None:
        stored = [part.position.get(name, -1) for name, _, _ in positions]
        starts = [start for _, start, _ in positions]
        if "version" not in part.meta or any(at < start for at, start in zip(stored, starts, strict=True)):
            return Outcome.BEHIND
        if positions and stored == [stop for _, _, stop in positions]:
            return Outcome.ALREADY
        return None if stored == starts else Outcome.AHEAD

    def gone(self, part: Shard, unparked: Sequence[str]) -> Outcome | None:
        left = [name for name in unparked if name.encode() in part.fields("parked")]
        if len(left) == len(unparked):
            return None
        return Outcome.CHANGED if left else Outcome.ALREADY

    def taken(self, part: Shard, request: Request) -> Outcome | None:
        ids, records = part.fields("ordinal"), part.fields("record")
        new = [(group_id, member) for group_id, member, revision in request.groups if not revision]
        return Outcome.TAKEN if any(i not in ids and member in records for i, member in new) else None

    def changed(self, part: Shard, request: Request) -> Outcome | None:
        for group_id, member, revision in request.groups:
            at = part.fields("ordinal").get(group_id)
            if at != (member if revision else None) or (
                revision and part.fields("record").get(member, b"")[:REVISION_BYTES] != revision
            ):
                return Outcome.CHANGED
        return None

    # Writes.

    def note(self, part: Shard, arguments: list[bytes], request: Request) -> Note:
        return Note(
            arguments,
            request,
            {name: self.counted(part, name, records) for name, records in request.tally.items()},
            part.position.get("redriven", 0) + request.is_redriven,
            self.next_change(part, request),
        )

    def counted(self, part: Shard, name: str, records: int) -> int:
        return part.tally.get(name, 0) + records

    def next_change(self, part: Shard, request: Request) -> tuple[bytes, float] | None:
        if not request.changed:
            return None
        last, number = max(part.members("changed").items(), key=lambda pair: pair[1], default=(b"0::", 0.0))
        digest = sha1(last.split(b":", 2)[1] + request.content.encode()).hexdigest()[:16]
        return b"%d:%s:%s" % (number + 1, digest.encode(), request.changed), number + 1

    def write(self, part: Shard, note: Note, tear: random.Random | None = None) -> None:
        steps = [*self.content(part, note), *self.progress(part, note)]
        if tear is not None:
            part.note = note
            steps = steps[: tear.randrange(len(steps) + 1)]
        for step in steps:
            step()
        if tear is not None:
            raise Torn
        part.note = None

    def content(self, part: Shard, note: Note) -> list[Step]:
        request = note.request
        given = {group_id: member for group_id, member, revision in request.groups if not revision}
        steps: list[Step] = [partial(part.hash("ordinal").update, given)]
        steps.append(partial(self.raise_ordinals, part, request.ordinals_end))
        steps.append(partial(self.run, part, "HDEL", "parked", [name.encode() for name in request.unparked]))
        steps += [partial(self.run, part, name, key, arguments) for name, key, arguments in request.commands]
        steps += [partial(self.set_bits, part, bitmap, found) for bitmap, found in request.bits]
        steps += self.value_bits(part, request)
        steps += [partial(self.splice, part, chunk, lines) for chunk, lines in request.texts]
        steps.append(partial(self.log_change, part, note.change))
        return steps

    def progress(self, part: Shard, note: Note) -> list[Step]:
        positions = {name: stop for name, _, stop in note.request.positions}
        if note.redriven:
            positions["redriven"] = note.redriven
        return [partial(part.tally.update, note.tally), partial(part.position.update, positions)]

    def raise_ordinals(self, part: Shard, end: int) -> None:
        part.ordinals = max(part.ordinals, end)

    def run(self, part: Shard, name: str, key: str, arguments: Sequence[bytes]) -> None:
        match name:
            case "HSET":
                part.hash(key).update(by(2, arguments))
            case "HDEL":
                for one in arguments:
                    part.hash(key).pop(one, None)
            case "ZADD":
                part.zset(key).update((member, float(score)) for score, member in by(2, arguments))
            case "ZREM":
                for one in arguments:
                    part.zset(key).pop(one, None)
            case _:
                raise AssertionError(f"a commit has the command {name}")

    def set_bits(self, part: Shard, bitmap: str, found: Iterable[Bits]) -> None:
        bits = part.bits.setdefault(bitmap, bytearray())
        for first, number, value in found:
            bits.extend(bytes(max(0, (first + number + 7) // 8 - len(bits))))
            for i in range(number):
                byte, bit = divmod(first + i, 8)
                mask = 128 >> bit
                bits[byte] = bits[byte] | mask if value >> (number - 1 - i) & 1 else bits[byte] & ~mask

    def value_bits(self, part: Shard, request: Request) -> list[Step]:
        """One bitmap at most is made by a commit."""
        made: list[str] = []

        def write(name: str, found: list[Bits]) -> None:
            bitmap = f"bits:{name}"
            if bitmap in part.bits:
                self.set_bits(part, bitmap, found)
            elif not made and len(part.members(name)) >= BROAD_GROUPS_MIN:
                made.append(name)
                self.set_bits(part, bitmap, [(int.from_bytes(member, "big"), 1, 1) for member in part.members(name)])

        counts = [partial(self.count_groups, part, name) for name, _ in request.values]
        return [*(partial(write, name, found) for name, found in request.values), *counts]

    def count_groups(self, part: Shard, name: str) -> None:
        """The number of groups of a value, none if it has none; only of fields that are counted."""
        _, field, value = name.split(":", 2)
        if field in FACET_FIELDS:
            counts = part.zset(f"values:{field}")
            counts.pop(value.encode(), None)
            if groups := len(part.members(name)):
                counts[value.encode()] = float(groups)

    def splice(self, part: Shard, chunk: int, places_and_lines: Sequence[bytes]) -> None:
        field = str(chunk).encode()
        lines = part.hash("text").get(field, b"\xff" * LINES).split(b"\xff")
        for place, line in by(2, places_and_lines):
            lines[int(place)] = line
        part.hash("text")[field] = b"\xff".join(lines)

    def log_change(self, part: Shard, change: tuple[bytes, float] | None) -> None:
        if change is not None:
            part.zset("changed")[change[0]] = change[1]
            for member in sorted(part.zset("changed"), key=part.zset("changed").__getitem__)[:-CHANGES_MAX]:
                del part.zset("changed")[member]

    # Reads.

    def positions(self, generation: Generation, shard: int, partitions: Sequence[Partition]) -> list[int | None]:
        part = self.shards.get((generation.number, shard), Shard())
        return [part.position.get(str(partition)) for partition in partitions]

    def positions_and_anchors(
        self, generation: Generation, shard: int, partitions: Sequence[Partition]
    ) -> list[tuple[int | None, Anchors | None]]:
        lasts = self.shards.get((generation.number, shard), Shard()).fields("last")
        return [
            (at, unpacked(lasts.get(str(partition).encode()), at))
            for partition, at in zip(partitions, self.positions(generation, shard, partitions), strict=True)
        ]

    def load(self, generation: Generation, shard: int, ids: Sequence[str]) -> dict[str, Stored | None]:
        """As load.lua: a group that a half written commit has given an ordinal, but no record yet, is none."""
        part, found = self.shards.get((generation.number, shard), Shard()), dict[str, Stored | None]()
        for group_id in ids:
            member = part.fields("ordinal").get(group_id.encode(), b"")
            record = part.fields("record").get(member)
            found[group_id] = Stored(int.from_bytes(member, "big"), record) if record else None
        return found

    def is_of_another(self, generation: Generation, shard: int) -> bool:
        return self.shard(generation, shard).meta.get("nonce", generation.nonce) != generation.nonce

    def is_level(self) -> bool:
        """Whether all shards have the same positions, and none has a half written commit."""
        if self.live is None:
            return True
        shards = [self.shards.get((self.live.number, number), Shard()) for number in range(self.live.shards)]
        return all(shard.note is None and shard.position == shards[0].position for shard in shards)
