"""Compares the shards of a generation, which may be written meanwhile, with what is expected.

What is expected is a function of positions of the log, and can be advanced to any later positions. Every answer of a
shard comes with the positions that it reflects. So, for each shard:

1. All of it is read once: see inspection.py. What does not fit becomes a *candidate*, since the generation may have
   advanced. So does every group that the log has changed until the second step begins.
2. Everything of a candidate is read again in one call, and what is expected is advanced to exactly the positions of
   that answer. Whatever differs now is a difference.
"""

from collections.abc import Callable, Iterable
from functools import partial

from projector.readmodel.schema.keys import CREATED, FACET_FIELDS, Keys, values_name
from projector.readmodel.schema.ordinals import BLOCK, MEMBER_BYTES, ordinal_of
from projector.verify.alignment import Alignment
from projector.verify.difference import ABSENT, Difference, describe, differing
from projector.verify.expected import Expected
from projector.verify.inspection import FAR, Inspection
from projector.verify.sample import Sample
from projector.verify.settling import Findings, Settled, settled
from projector.verify.shards import GROUPS_MAX, OWN_BITMAPS, Answer, Shards
from projector.verify.snapshot import EMPTY, Snapshot, Totals, kind
from projector.verify.tables import Candidate, Tables

# Called with the step, how much of it is done, and how much it is in all: `fold` counts events, `compare` groups,
# `sets` sorted sets of a shard, and `settle` groups that are compared again.
ReportProgress = Callable[[str, int, int], None]

PARKED_MAX = 500


class Comparison:
    """Of one generation with `expected`; or if that is None, with its own records. `totals`: of these.

    `alignment`: of `expected`.
    """

    def __init__(
        self,
        shards: Shards,
        tables: Tables,
        findings: Findings,
        report_progress: ReportProgress,
        sample: Sample,
        expected: Expected | None = None,
        alignment: Alignment | None = None,
    ) -> None:
        self.totals = Totals()
        self._shards = shards
        self._tables = tables
        self._findings = findings
        self._report_progress = report_progress
        self._sample = sample
        self._expected = expected
        self._alignment = alignment
        self._compared = 0
        # Of the shard that is compared: no group has an ordinal from here on.
        self._far = 2**32
        self._bitmaps: dict[int, list[str]] = {}

    def compare_all(self) -> None:
        self._bitmaps = {shard: [] for shard in range(self._shards.generation.shards)}
        self._tables.begin_generation()
        if self._sample.is_all:
            self._list_keys()
        # A shard that lags behind is waited for, so those that are behind come first.
        for shard in sorted(self._bitmaps, key=lambda shard: sum(self._shards.read(shard).positions.values())):
            self._tables.begin_shard()
            before = self._findings.differences
            self._list_groups(shard)
            if self._sample.is_all:
                self._inspect(shard)
            if self._expected:
                self._tables.put_missing(shard)
                # Groups that change later stay as compared, at earlier positions: under writes it would never end.
                self._read(partial(self._shards.read, shard), partial(self._put_changed, shard))
            self._settle(shard)
            if self._sample.is_all and self._findings.differences == before:
                # Else the counts differ from sets that are wrong themselves.
                self._compare_counts(shard)
            if self._expected and self._expected.events:
                self._compare_parked(shard)

    def _list_keys(self) -> None:
        """Notes the sorted sets and bitmaps of values, and reports keys that no shard has."""
        prefix = self._shards.generation.keys(0).prefix
        known = {CREATED, *OWN_BITMAPS}
        keys = Keys(prefix)
        known |= {values_name(field) for field in FACET_FIELDS}
        known |= {str(getattr(keys, slot)).removeprefix(prefix) for slot in Keys.__slots__}
        for shard, key in self._shards.streams.scan_keys():
            name = key.decode(errors="backslashreplace")
            if name.startswith("of:") and name.encode() == key:
                self._tables.put_set_name(shard, name)
            elif name.startswith("bits:of:") and name.encode() == key:
                self._bitmaps[shard].append(name)
            elif name not in known:
                self._report_unexpected(shard, "", name, "a key")

    def _list_groups(self, shard: int) -> None:
        """Writes the groups of the shard to the tables, those of the sample."""
        for fields in self._shards.streams.fields(shard, "ordinal"):
            groups = []
            for field, member in fields.items():
                group_id = field.decode(errors="backslashreplace")
                if group_id.encode() != field:
                    self._report_unexpected(shard, group_id, "ordinal", repr(member)[1:])
                elif len(member) != MEMBER_BYTES:
                    self._report_ordinal(shard, group_id, repr(member)[1:])
                elif group_id in self._sample:
                    groups.append((group_id, ordinal_of(member)))
            self._tables.put_found(groups)
            if not self._sample.is_all:
                self._tables.put_candidates(group_id for group_id, _ in groups)

    def _inspect(self, shard: int) -> None:
        found = self._shards.streams.ask(shard, "GET", "ordinals") or b""
        free = int(found) if found.isdigit() else 0
        self._far = free + FAR
        largest = self._tables.largest_below(self._far)
        if largest >= free or free % BLOCK:
            self._report(shard, "", "ordinals", f"a multiple of {BLOCK} above {largest}", str(free))
        report = partial(self._report_unexpected, shard)
        inspection = Inspection(
            self._shards, shard, self._tables, self._bitmaps[shard], largest + 1, self.totals, report
        )
        inspection.inspect_ranges(partial(self._expected_of, shard) if self._expected else None, self._report_compared)
        inspection.inspect_rest()
        inspection.inspect_sets(partial(self._report_progress, "sets"))
        self._tables.put_misplaced(self._far)
        if self._tables.has_strangers():
            # Those that came meanwhile have an ordinal by now.
            self._list_groups(shard)
        self._tables.suspects_to_candidates()

    def _report_compared(self, groups: int) -> None:
        self._compared += groups
        total = max(self._compared, self._tables.expected_count())
        self._report_progress("compare", self._compared, total)

    def _put_changed(self, shard: int, ids: Iterable[str]) -> None:
        shard_of = self._shards.generation.shard_of
        self._tables.put_candidates(group_id for group_id in ids if shard_of(group_id) == shard)

    def _read(self, read_shard: Callable[[], Answer], on_changed: Callable[[Iterable[str]], None]) -> Answer:
        return self._alignment.read(read_shard, on_changed) if self._alignment else read_shard()

    def _settle(self, shard: int) -> None:
        done, total = 0, self._tables.candidate_count()

        def read(candidates: dict[Candidate, set[str]]) -> Answer:
            return self._read(partial(self._shards.read, shard, candidates), lambda ids: None)

        while candidates := self._tables.take_candidates(GROUPS_MAX):
            done += len(candidates)
            strangers: dict[Candidate, set[str]] = {
                one: names for one, names in candidates.items() if isinstance(one, int)
            }
            while strangers:
                for ordinal, found in read(strangers).snapshots.items():
                    self._report_differing(shard, "", EMPTY, found, f"ordinal {ordinal}")
                    del strangers[ordinal]
            groups: dict[Candidate, set[str]] = {
                one: names for one, names in candidates.items() if isinstance(one, str)
            }
            for group in settled(groups, read, partial(self._expected_of, shard), self._expected is None):
                self._settle_group(shard, group)
            self._report_progress("settle", done, total)

    def _settle_group(self, shard: int, group: Settled) -> None:
        self._findings.repeated += 1
        if group.ordinal is None:
            problem = ABSENT
        elif self._tables.is_shared(group.ordinal):
            problem = f"{group.ordinal}, which another group has, too"
        elif group.ordinal >= self._far:
            problem = f"{group.ordinal}, far above those that are reserved"
        else:
            if group.expected is None:
                self._report_unexpected(shard, group.id, "ordinal", str(group.ordinal))
            elif not self._expected and not self._sample.is_all:
                self.totals.add(group.id, group.expected)
            self._report_differing(shard, group.id, group.expected or EMPTY, group.found)
            return
        if group.expected is not None or group.ordinal is not None:
            self._report_ordinal(shard, group.id, problem)
            # Whatever Redis holds of the group counts as held by no group.
            self._findings.surplus.subtract(kind(name) for name in (group.expected or EMPTY).names)

    def _expected_of(self, shard: int, ids: Iterable[str]) -> dict[str, Snapshot]:
        """Returns what is expected in that shard: nothing of groups that belong to another one."""
        own = [group_id for group_id in ids if self._shards.generation.shard_of(group_id) == shard]
        return self._expected.snapshots(own) if self._expected else self._shards.own_snapshots(own)

    def _compare_counts(self, shard: int) -> None:
        """Compares the number of groups of each value with its set, which is right."""
        for field in FACET_FIELDS:
            values = self._tables.values(shard, field).union(*self._shards.streams.values(shard, field))
            wrong = [value for value, _, _ in self._shards.streams.wrong_counts(shard, field, [*values])]
            if wrong:
                # A commit may have been half written; then this writes the rest.
                self._shards.read(shard)
            for one, groups, score in self._shards.streams.wrong_counts(shard, field, wrong):
                at = one.decode(errors="backslashreplace")
                self._report(shard, "", values_name(field), f"{groups} groups", score or ABSENT, at)

    def _compare_parked(self, shard: int) -> None:
        names, differs = self._tables.parked(shard), False
        for start in range(0, len(names), PARKED_MAX):
            batch = names[start : start + PARKED_MAX]
            answer = self._read(partial(self._shards.read, shard, parked=batch), lambda ids: None)
            for name, exists in zip(batch, answer.parked, strict=True):
                if not exists:
                    differs = True
                    self._report(shard, name, "parked", "a record", ABSENT)
        hashes = ("parked", "discarded")
        lengths = sum(self._shards.streams.ask(shard, "HLEN", name) for name in hashes)
        if self._sample.is_all and (differs or lengths != len(names)):
            found = {one.decode(errors="backslashreplace") for h in hashes for one in _fields(self._shards, shard, h)}
            self._read(partial(self._shards.read, shard), lambda ids: None)
            for name in sorted(found):
                if not self._tables.is_parked(shard, name):
                    self._report(shard, name, "parked", ABSENT, "a record")

    def _report_differing(self, shard: int, group_id: str, expected: Snapshot, found: Snapshot, at: str = "") -> None:
        for what in differing(expected, found):
            place, one, other = describe(what, expected, found)
            self._report(shard, group_id, what, one, other, at or place)

    def _report_ordinal(self, shard: int, group_id: str, found: str) -> None:
        self._report(shard, group_id, "ordinal", "one of its own", found, again=True)

    def _report_unexpected(self, shard: int, group_id: str, what: str, found: str) -> None:
        self._report(shard, group_id, what, ABSENT, found, again=True)

    def _report(
        self, shard: int, group_id: str, what: str, expected: str, found: str, at: str = "", again: bool = False
    ) -> None:
        number = self._shards.generation.number
        self._findings.add(Difference(number, shard, group_id, what, at, expected, found), again)


def _fields(shards: Shards, shard: int, name: str) -> Iterable[bytes]:
    for fields in shards.streams.fields(shard, name):
        yield from fields
