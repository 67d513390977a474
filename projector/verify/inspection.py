"""Finds what may differ in a shard, by reading all of it once: each ordinal that comes out is a suspect.

A projector may be writing, and what is read of a group at different times need not fit together. So nothing is
reported from here: suspects are looked at again, everything of a group in one call.

1. `ordinal` says which groups there are. Their records and rows, the lines of text and the bitmaps are read by ranges
   of ordinals.
2. The sorted sets are read to their ends. For each ordinal the hashes of their names are combined by XOR, and those of
   the names that are expected: what remains is 0 where it is in all its sets, and in no other.
   If it is not for some, these are suspects, and the sets are read again for the names of those that have them.
3. What is beyond the last ordinal, and fields of no group.
"""

from array import array
from collections.abc import Callable, Iterable

from projector.readmodel.schema.columns import HEAD_BYTES
from projector.readmodel.schema.keys import CREATED
from projector.readmodel.schema.ordinals import LINES, MEMBER_BYTES, block_end, ordinal_of
from projector.verify.planes import bitmap_of, differing_places, ones_of, own_bitmaps
from projector.verify.shards import OWN_BITMAPS, Shards
from projector.verify.snapshot import EMPTY, Snapshot, Totals, expected_snapshot
from projector.verify.streams import Members
from projector.verify.tables import Tables

# Ordinals in a range: whole chunks of text, and whole bytes.
RANGE = 16_384
# An ordinal as far beyond the reserved ones is damaged; where ordinals are nearer, the number of the reserved ones is.
FAR = 2**22
# Names of sorted sets in one call.
SETS_MAX = 500
# Bytes of a bitmap that are read where nothing is expected.
BEYOND_BYTES = 2048
_NO_HEAD = bytes(HEAD_BYTES)

# Returns what is expected of some groups of this shard.
Snapshots = Callable[[Iterable[str]], dict[str, Snapshot]]
# Called with the group, what was found unexpectedly of which name, and where: what no second look is needed for.
Report = Callable[[str, str, str], None]


class Inspection:
    """Of one shard. `names`: of its `of:*` are in the table, those of its `bits:of:*` are `bitmaps`. `end`: the first
    ordinal that was not looked at. Adds all groups to `totals` if the records themselves are what is expected.
    """

    def __init__(
        self, shards: Shards, shard: int, tables: Tables, bitmaps: list[str], end: int, totals: Totals, report: Report
    ) -> None:
        self._shards = shards
        self._streams = shards.streams
        self._shard = shard
        self._tables = tables
        self._bitmaps = bitmaps
        self._report = report
        self.end = block_end(end - 1) if end else 0
        # By ordinal: created_at in ms, and the XOR of the names of its sets; 0 if it is not listed.
        self._created = array("q", bytes(8 * self.end))
        self._names = array("q", bytes(8 * self.end))
        # By ordinal: whether its group has one.
        self._found = {"record": bytearray(self.end), "row": bytearray(self.end)}
        self._totals = totals

    def inspect_ranges(self, expected: Snapshots | None, report_groups: Callable[[int], None]) -> None:
        """`expected`: None where the records say what is expected."""
        for start in range(0, self.end, RANGE):
            stop = min(start + RANGE, self.end)
            groups = self._tables.found(start, stop)
            held = self._inspect_groups(groups, expected)
            self._inspect_bitmaps(start, stop, held)
            self._inspect_texts(start, stop, held)
            report_groups(len(groups))

    def inspect_rest(self) -> None:
        self._inspect_beyond()
        self._inspect_fields()

    def _suspect(self, ordinals: Iterable[int], name: str = "") -> None:
        self._tables.put_suspects((ordinal, name) for ordinal in ordinals)

    def _inspect_groups(self, groups: dict[int, str], expected: Snapshots | None) -> dict[int, Snapshot]:
        """Returns what is expected of the listed groups, by ordinal."""
        snapshots = expected(groups.values()) if expected else {}
        held: dict[int, Snapshot] = {}
        suspects = []
        for ordinal, record, row in self._shards.rows(self._shard, list(groups)):
            self._found["record"][ordinal] = record is not None
            self._found["row"][ordinal] = row is not None
            group_id = groups[ordinal]
            if expected:
                snapshot = snapshots.get(group_id, EMPTY)
            else:
                snapshot = expected_snapshot(group_id, record or b"")
                self._totals.add(group_id, snapshot)
            if record is None or record != snapshot.record or row != snapshot.row:
                suspects.append(ordinal)
            if snapshot.indexed:
                held[ordinal] = snapshot
                self._created[ordinal] = snapshot.indexed.columns.created_at
                names = hash(CREATED)
                for name in snapshot.indexed.values:
                    names ^= hash(name)
                self._names[ordinal] = names
        self._suspect(suspects)
        return held

    def _inspect_bitmaps(self, start: int, stop: int, held: dict[int, Snapshot]) -> None:
        found = self._streams.bitmaps(self._shard, [*OWN_BITMAPS, *self._bitmaps], start, stop)
        heads, listed, numbered = ([none] * (stop - start) for none in (_NO_HEAD, b"0", b"0"))
        members: dict[str, list[int]] = {name: [] for name in self._bitmaps}
        for ordinal, snapshot in held.items():
            if snapshot.row and snapshot.indexed:
                place = ordinal - start
                heads[place] = snapshot.row[:HEAD_BYTES]
                listed[place] = b"1"
                if snapshot.indexed.columns.display_id is not None:
                    numbered[place] = b"1"
                for name in snapshot.indexed.values:
                    if "bits:" + name in members:
                        members["bits:" + name].append(place)
        for name, bitmap in own_bitmaps(*map(b"".join, (heads, listed, numbered))):
            if found[name] != bitmap:
                self._suspect(start + place for place in differing_places(found[name], bitmap))
        for name, places in members.items():
            bitmap = bitmap_of(places, stop - start)
            if found[name] != bitmap:
                self._suspect((start + place for place in differing_places(found[name], bitmap)), name[5:])

    def _inspect_texts(self, start: int, stop: int, held: dict[int, Snapshot]) -> None:
        for number, lines in self._streams.chunks(self._shard, start // LINES, stop // LINES):
            first = number * LINES
            self._suspect(
                first + place
                for place, line in enumerate(lines)
                if line != (held[first + place].text if first + place in held else b"")
            )

    def _inspect_beyond(self) -> None:
        for name in (*OWN_BITMAPS, *self._bitmaps):
            start = self.end
            while (one := self._streams.ask(self._shard, "BITPOS", name, 1, start // 8)) >= 0:
                start = one // 8 * 8
                stop = start + 8 * BEYOND_BYTES
                bits = self._streams.bitmaps(self._shard, [name], start, stop)[name]
                start_of, of = start, name.removeprefix("bits:") if name.startswith("bits:of:") else ""
                self._suspect((start_of + place for place in ones_of(bits)), of)
                start = stop
        inside = {b"%d" % number for number in range(self.end // LINES)}
        for field in self._streams.ask(self._shard, "HKEYS", "text"):
            if field not in inside:
                if not field.isdigit() or int(field) >= 2**32 // LINES or field != b"%d" % int(field):
                    self._report("", "text", f"a chunk {field!r}"[:80])
                    continue
                number = int(field)
                for _, lines in self._streams.chunks(self._shard, number, number + 1):
                    self._suspect(number * LINES + place for place, line in enumerate(lines) if line)

    def _inspect_fields(self) -> None:
        """Rows and records that no group has."""
        for name, found in self._found.items():
            if self._streams.ask(self._shard, "HLEN", name) != sum(found):
                for fields in self._streams.fields(self._shard, name):
                    ordinals = [ordinal_of(field) for field in fields if len(field) == MEMBER_BYTES]
                    self._suspect(one for one in ordinals if one >= self.end or not found[one])
                    for field in fields:
                        if len(field) != MEMBER_BYTES:
                            self._report("", name, f"a field {field!r}"[:80])

    def inspect_sets(self, report_progress: Callable[[int, int], None]) -> None:
        wrong: set[int] = set()
        created, names, end = self._created, self._names, self.end
        for members in self._members(self._report, report_progress):
            key = hash(members.name)
            for ordinal, score in zip(members.ordinals, members.scores, strict=True):
                if ordinal >= end or created[ordinal] != score:
                    wrong.add(ordinal)
                if ordinal < end:
                    names[ordinal] ^= key
        wrong.update(ordinal for ordinal, left in enumerate(names) if left)
        if not wrong:
            return
        self._suspect(wrong)
        for members in self._members(lambda group_id, what, found: None, report_progress):
            self._suspect(wrong.intersection(members.ordinals), members.name)

    def _members(self, report: Report, report_progress: Callable[[int, int], None]) -> Iterable[Members]:
        done, total = 0, 1 + self._tables.set_count(self._shard)
        for batch in ([CREATED], *self._tables.set_names(self._shard, SETS_MAX)):
            for members in self._streams.members(self._shard, batch):
                if isinstance(members, Members):
                    yield members
                else:
                    name, member, score = members
                    report(member.decode(errors="backslashreplace"), name, f"score {score:.17g}")
            done += len(batch)
            report_progress(done, total)
