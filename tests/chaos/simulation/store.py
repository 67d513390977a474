"""The simulated read model in memory: does what commit.lua does, from a Change.

`tests/chaos/test_store.py` compares it with real servers: it must not be more forgiving.
"""

import random
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from events.logs.log import Partition
from projector.anchors import Anchors
from projector.project import Change
from projector.readmodel.schema.document import VERSION
from projector.readmodel.schema.keys import Generation
from projector.store.commit import Advance, Outcome
from projector.store.commit import request as packed
from tests.chaos.ledger import Found

REVISION_BYTES = 8
RECEIVED = "received"


class Request(list[str | bytes]):
    """A request as encoded for Redis, with the change and the advances it was made of."""

    def __init__(self, change: Change, advances: Mapping[Partition, Advance]) -> None:
        super().__init__(packed(change, advances))
        self.change = change
        self.advances = dict(advances)


class Torn(Exception):
    """A command of a commit has failed."""


class Shard(Struct):
    meta: dict[str, str] = field(default_factory=dict)
    position: dict[str, int] = field(default_factory=dict)
    last: dict[str, Anchors] = field(default_factory=dict)
    state: dict[str, bytes] = field(default_factory=dict)
    row: dict[str, bytes] = field(default_factory=dict)
    rest: dict[str, bytes] = field(default_factory=dict)
    entries: dict[tuple[str, str], float] = field(default_factory=dict)
    parked: dict[str, bytes] = field(default_factory=dict)
    tally: dict[str, int] = field(default_factory=dict)
    # A half written commit.
    note: "Request | None" = None

    def copy(self) -> "Shard":
        """Copies all that is changed in place."""
        names = [name for name in self.__struct_fields__ if name != "note"]
        return Shard(**{name: dict(getattr(self, name)) for name in names}, note=self.note)


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
        self, generation: Generation, shard: int, request: Request, tear: random.Random | None = None
    ) -> Outcome:
        """`tear`: if the commit is written, one of its commands fails, at random. Raises Torn."""
        part = self.shards.get((generation.number, shard), Shard())
        outcome = self.closed(generation, part) or self.redo(part, request) or self.refusal(generation, part, request)
        if outcome is None:
            part = self.shard(generation, shard)
            if tear is not None:
                self.tear(part, request, tear)
            self.write(part, request)
            outcome = Outcome.STORED
        self.outcomes[outcome] += 1
        return outcome

    def tear(self, part: Shard, request: Request, chance: random.Random) -> None:
        """Leaves positions and tallies unwritten: they come last, and tallies are absolute values."""
        whole = part.copy()
        self.write(whole, request)
        for name in ("state", "row", "rest", "parked"):
            if chance.random() < 0.5:
                setattr(part, name, getattr(whole, name))
        for entry in sorted(part.entries.keys() | whole.entries.keys()):
            if chance.random() < 0.5:
                part.entries.pop(entry, None)
                part.entries.update({entry: whole.entries[entry]} if entry in whole.entries else {})
        part.note = request
        raise Torn

    def redo(self, part: Shard, request: Request | None) -> Outcome | None:
        note = part.note
        if note is None:
            return None
        self.write(part, note)
        part.note = None
        return Outcome.STORED if request is note else Outcome.FINISHED

    def refusal(self, generation: Generation, part: Shard, request: Request) -> Outcome | None:
        return (
            self.closed(generation, part)
            or self.elsewhere(part, request.advances)
            or self.changed(part, request.change)
        )

    def closed(self, generation: Generation, part: Shard) -> Outcome | None:
        meta = part.meta
        if "version" not in meta:
            return None
        is_other = meta["version"] != str(VERSION) or meta.get("nonce", generation.nonce) != generation.nonce
        return Outcome.SEALED if is_other or "sealed" in meta else None

    def elsewhere(self, part: Shard, advances: Mapping[Partition, Advance]) -> Outcome | None:
        stored = [part.position.get(str(partition), -1) for partition in advances]
        starts = [-1 if advance.start is None else advance.start for advance in advances.values()]
        if "version" not in part.meta or any(at < start for at, start in zip(stored, starts, strict=True)):
            return Outcome.BEHIND
        if advances and stored == [advance.stop for advance in advances.values()]:
            return Outcome.ALREADY
        return None if stored == starts else Outcome.AHEAD

    def changed(self, part: Shard, change: Change) -> Outcome | None:
        for group_id, revision in change.expected.items():
            if part.state.get(group_id, b"")[:REVISION_BYTES] != revision:
                return Outcome.CHANGED
        return None

    def write(self, part: Shard, request: Request) -> None:
        self.write_positions(part, request.advances)
        self.write_content(part, request.change)

    def write_positions(self, part: Shard, advances: Mapping[Partition, Advance]) -> None:
        part.position.update({str(partition): advance.stop for partition, advance in advances.items()})
        part.last.update({str(partition): advance.last for partition, advance in advances.items() if advance.last})

    def write_content(self, part: Shard, change: Change) -> None:
        part.state.update(change.state)
        part.row.update(change.row)
        part.rest.update(change.rest)
        part.parked.update(change.parked)
        for group_id in change.unlisted:
            part.row.pop(group_id, None)
            part.rest.pop(group_id, None)
        for index, ids in change.remove.items():
            for group_id in ids:
                part.entries.pop((index, group_id), None)
        for index, members in change.add.items():
            for score, member in zip(members[::2], members[1::2], strict=True):
                part.entries[index, str(member)] = float(score)
        for partition, size in change.parked_bytes.items():
            self.count(part, f"{partition}:parked_bytes", size)
        for partition, fates in change.tally.items():
            for fate, records in fates.items():
                self.count(part, f"{partition}:{fate}", records)
            self.count(part, f"{partition}:{RECEIVED}", sum(fates.values()))

    def count(self, part: Shard, name: str, records: int) -> None:
        if records or name.endswith(RECEIVED):
            part.tally[name] = part.tally.get(name, 0) + records

    def positions(self, generation: Generation, shard: int, partitions: Sequence[Partition]) -> list[int | None]:
        part = self.shards.get((generation.number, shard), Shard())
        return [part.position.get(str(partition)) for partition in partitions]

    def positions_and_anchors(
        self, generation: Generation, shard: int, partitions: Sequence[Partition]
    ) -> list[tuple[int | None, Anchors | None]]:
        lasts = self.shards.get((generation.number, shard), Shard()).last
        return [
            (at, last if (last := lasts.get(str(partition))) and last.position == at else None)
            for partition, at in zip(partitions, self.positions(generation, shard, partitions), strict=True)
        ]

    def is_of_another(self, generation: Generation, shard: int) -> bool:
        return self.shard(generation, shard).meta.get("nonce", generation.nonce) != generation.nonce

    def load(self, generation: Generation, shard: int, ids: Sequence[str]) -> dict[str, bytes | None]:
        part = self.shards.get((generation.number, shard), Shard())
        return {group_id: part.state.get(group_id) for group_id in ids}

    def found(self) -> Found:
        """Returns the content of all shards of the live generation, as readers see it."""
        found = Found({}, {}, {}, {}, {})
        if self.live is None:
            return found
        documents: dict[str, bytes] = {}
        entries: dict[tuple[str, str], float] = {}
        positions: dict[str, int] = {}
        tally: dict[str, int] = {}
        parked: dict[str, bytes] = {}
        for number in range(self.live.shards):
            part = self.shards.get((self.live.number, number), Shard())
            assert part.row.keys() == part.rest.keys()
            documents |= {group_id: row[:-1] + part.rest[group_id] for group_id, row in part.row.items()}
            entries |= part.entries
            parked |= part.parked
            for name, offset in part.position.items():
                positions[name] = min(offset, positions.get(name, offset))
            for name, records in part.tally.items():
                tally[name] = tally.get(name, 0) + records
        return Found(documents, entries, positions, tally, parked)

    def is_level(self) -> bool:
        """Whether all shards have the same positions, and none has a half written commit."""
        if self.live is None:
            return True
        shards = [self.shards.get((self.live.number, number), Shard()) for number in range(self.live.shards)]
        return all(shard.note is None and shard.position == shards[0].position for shard in shards)
