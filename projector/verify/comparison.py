"""Compares a generation, which may be written meanwhile, with what is expected.

What is expected is a function of positions of the log, and can be advanced to any later positions. Every answer of a
shard comes with the positions that it reflects. So:

1. What is expected is advanced to the positions of the generation, and every group is compared. A group that differs
   becomes a *candidate*, since the generation may have advanced. So does every group that the log changes before the
   second step begins for its shard.
2. Candidates are read again, and what is expected is advanced to exactly the positions of that answer. Whatever differs
   now is a difference.
3. Sets and hashes are counted in the same way. Every expected member was looked up, so a set of the expected size has
   no unexpected member. Where the size differs, or a member is missing, the members are listed, and unexpected ones
   become candidates. The bits of a bitmap are counted like the members of its set.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from msgspec import Struct

from projector.readmodel.schema.keys import Generation
from projector.verify.alignment import Alignment
from projector.verify.buckets import index_of, is_bitmap
from projector.verify.difference import ABSENT, Difference, agree, describe, differing
from projector.verify.expected import Expected
from projector.verify.shards import GROUPS_MAX, SIZES_MAX, Answer, Shards, count_batches, lowest_positions
from projector.verify.snapshot import BY, EMPTY, PARTS, Digest, GroupSnapshot, digest, kind
from projector.verify.tables import SUBJECT, Tables

# Called with the step, how much of it is done, and how much it is in all: `fold` counts events, `compare` groups.
ReportProgress = Callable[[str, int, int], None]


class Target(Struct, frozen=True):
    """A generation to check, with its role in the tables. `hashes`: those that are counted."""

    role: int
    shards: Shards
    hashes: Sequence[str]

    @property
    def number(self) -> int:
        return self.shards.generation.number


class Comparison:
    """`expected_digest`, `found_digest`: of all groups, each as of its last comparison.

    `surplus`: kind of set -> unexpected members minus missing ones. `repeated`: how often a group was compared again.
    """

    def __init__(self, generation: Generation, expected: Expected, tables: Tables, alignment: Alignment) -> None:
        self.expected_digest = self.found_digest = Digest()
        self.surplus: Counter[str] = Counter()
        self.repeated = 0
        self._generation = generation
        # Shards for which the second step has not begun.
        self._unsettled = set(range(generation.shards))
        self._expected = expected
        self._tables = tables
        self._alignment = alignment

    def compare_all(self, shards: Shards, report_progress: ReportProgress) -> None:
        """The first step. Afterwards every group that differed, or was changed meanwhile, is a candidate."""
        generation, done, total = shards.generation, 0, self._tables.group_count()
        for ids in self._tables.batches(GROUPS_MAX * generation.shards):
            expected = self._expected.snapshots(ids)
            self._expected.add_initial_sizes(expected)
            by_shard: dict[int, list[str]] = {}
            for group_id in ids:
                by_shard.setdefault(generation.shard_of(group_id), []).append(group_id)
            for shard, own in by_shard.items():
                wanted = {group_id: BY | expected[group_id].entries.keys() for group_id in own}
                self._compare_batch(shard, expected, shards.snapshots(shard, wanted))
            done += len(ids)
            report_progress("compare", done, total)
        self._alignment.advance(lowest_positions(shards), self._add_changed)

    def settle(self, target: Target, with_sizes: bool) -> None:
        """The second step, and with `with_sizes` the third."""
        shards = target.shards
        if with_sizes:
            self._tables.put_to_count(target.role, self._decodable_sets(target))
        # A shard that lags behind is waited for, so those that are behind come first.
        for shard in sorted(
            range(shards.generation.shards), key=lambda shard: sum(shards.read(shard).positions.values())
        ):
            self._read(partial(shards.read, shard))
            if target.role == SUBJECT:
                self._unsettled.discard(shard)
            self._settle_groups(target, shard)
            self._settle_parked(target, shard)
            if with_sizes:
                suspects = self._settle_sizes(target, shard)
                for name in suspects:
                    self._find_unexpected_members(target, shard, name)
                self._settle_groups(target, shard)
                self._report_sizes(target, shard, suspects)
            if shards.has_bits:
                self._settle_ordinals(target, shard)

    def _compare_batch(
        self, shard: int, expected: Mapping[str, GroupSnapshot], found: Mapping[str, GroupSnapshot]
    ) -> None:
        candidates = []
        for group_id, snapshot in found.items():
            if agree(expected[group_id], snapshot):
                same = digest(group_id, snapshot)
                self._set_digests(shard, group_id, same, same)
            else:
                candidates.append((shard, group_id, ""))
        self._tables.put_candidates(SUBJECT, candidates)

    def _add_changed(self, ids: Iterable[str]) -> None:
        """Groups of settled shards stay as compared, at earlier positions: under writes it would never end."""
        sharded = ((self._generation.shard_of(group_id), group_id, "") for group_id in ids)
        self._tables.put_candidates(SUBJECT, (one for one in sharded if one[0] in self._unsettled))

    def _read(self, read_shard: Callable[[], Answer]) -> Answer:
        return self._alignment.read(read_shard, self._add_changed)

    def _decodable_sets(self, target: Target) -> Iterable[tuple[int, str]]:
        for shard, name in target.shards.sets():
            try:
                yield shard, name.decode()
            except UnicodeDecodeError:
                self._report(target, shard, "", name.decode(errors="backslashreplace"), ABSENT, "a member")

    def _settle_groups(self, target: Target, shard: int) -> None:
        while candidates := self._tables.take_candidates(target.role, shard, GROUPS_MAX):
            while candidates:
                for group_id, snapshot in self._expected_in(target, shard, candidates).items():
                    candidates[group_id] |= BY | snapshot.entries.keys()
                answer = self._read(partial(target.shards.read, shard, candidates))
                expected = self._expected_in(target, shard, answer.snapshots)
                for group_id, found in answer.snapshots.items():
                    # Advancing may have put it into a set in which it was not looked up.
                    if expected[group_id].entries.keys() <= candidates[group_id]:
                        del candidates[group_id]
                        self._settle_group(target, shard, group_id, expected[group_id], found)

    def _settle_group(
        self, target: Target, shard: int, group_id: str, expected: GroupSnapshot, found: GroupSnapshot
    ) -> None:
        self.repeated += 1
        self._tables.clear_differences(target.number, shard, group_id)
        for what in differing(expected, found):
            self._tables.put_difference(describe(target.number, shard, group_id, what, expected, found))
        if target.role == SUBJECT:
            self._set_digests(shard, group_id, digest(group_id, expected), digest(group_id, found))

    def _set_digests(self, shard: int, group_id: str, expected: Digest, found: Digest) -> None:
        before = self._tables.replace_digests(shard, group_id, (expected, found))
        self.expected_digest += expected - before[0]
        self.found_digest += found - before[1]

    def _settle_parked(self, target: Target, shard: int) -> None:
        names = self._tables.parked(shard) if target.role == SUBJECT else []
        for start in range(0, len(names), GROUPS_MAX):
            batch = names[start : start + GROUPS_MAX]
            answer = self._read(partial(target.shards.read, shard, parked=batch))
            for name, exists in zip(batch, answer.parked, strict=True):
                if not exists:
                    self._report(target, shard, name, "parked", "a record", ABSENT)

    def _settle_sizes(self, target: Target, shard: int) -> list[str]:
        """Returns the names of the sets that have another size than expected, or lack a member."""
        lacking = set(self._tables.with_missing_members(target.number, shard))
        self._tables.put_to_count(target.role, ((shard, name) for name in {*target.hashes, *BY, *lacking}))
        if target.shards.has_bits:
            self._tables.put_to_count(target.role, [(shard, "bits:all")])
        suspects = []
        while names := self._tables.take_to_count(target.role, shard, SIZES_MAX):
            for name, (expected, found) in self._sizes(target, shard, names).items():
                if expected != found or name in lacking:
                    suspects.append(name)
                if target.role == SUBJECT and not is_bitmap(name):
                    self.surplus[kind(name)] += found - expected
        return suspects

    def _sizes(self, target: Target, shard: int, names: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Returns name -> number of members or bits, expected and found."""
        sizes = {}
        for batch in count_batches(names):
            answer = self._read(partial(target.shards.read, shard, sizes=batch))
            expected = self._tables.sizes(target.role, shard, [index_of(name) for name in batch])
            for name, found in zip(batch, answer.sizes, strict=True):
                sizes[name] = expected.get(index_of(name), 0), found
        return sizes

    def _find_unexpected_members(self, target: Target, shard: int, name: str) -> None:
        """Makes them candidates. A bit does not say whose it is, so bitmaps are left out."""
        if is_bitmap(name):
            return
        index = name if name[2:3] == ":" else ""
        for members in target.shards.members(shard, name):
            ids = []
            for member in members:
                try:
                    ids.append(member.decode())
                except UnicodeDecodeError:
                    self._report(target, shard, member.decode(errors="backslashreplace"), name, ABSENT, "a member")
            if name == "parked":
                self._report_unexpected_parked(target, shard, ids)
            else:
                expected = self._expected_in(target, shard, ids)
                unexpected = [(shard, group_id, index) for group_id in ids if name not in expected[group_id].names]
                self._tables.put_candidates(target.role, unexpected)

    def _settle_ordinals(self, target: Target, shard: int) -> None:
        """No two groups share an ordinal, so they are 0, 1, 2 ... if the largest is one less than their number."""
        answer = target.shards.read(shard)
        (members, largest), lines = answer.ordinals, answer.lines
        if self._tables.differs(target.number, shard, "ordinal"):
            return
        if largest != members - 1:
            self._report(target, shard, "", "ordinal", f"the largest {members - 1}", f"the largest {largest:.17g}")
        elif lines != members and not self._tables.differs(target.number, shard, "text"):
            self._report(target, shard, "", "text", f"{members} lines", f"{lines} lines")

    def _report_unexpected_parked(self, target: Target, shard: int, names: Sequence[str]) -> None:
        self._read(partial(target.shards.read, shard))
        for name in names:
            if not self._tables.is_parked(shard, name):
                self._report(target, shard, name, "parked", ABSENT, "a member")

    def _report_sizes(self, target: Target, shard: int, suspects: Sequence[str]) -> None:
        """Reports the set itself where no difference of a member explains its size."""
        for start in range(0, len(suspects), SIZES_MAX):
            for name, (expected, found) in self._sizes(target, shard, suspects[start : start + SIZES_MAX]).items():
                if expected != found and not self._tables.differs(target.number, shard, name):
                    unit = "bits" if is_bitmap(name) else "members"
                    self._report(target, shard, "", name, f"{expected} {unit}", f"{found} {unit}")

    def _report(self, target: Target, shard: int, group_id: str, what: str, expected: str, found: str) -> None:
        self._tables.put_difference(Difference(target.number, shard, group_id, what, "", expected, found))

    def _expected_in(self, target: Target, shard: int, ids: Collection[str]) -> dict[str, GroupSnapshot]:
        """Returns what is expected of the groups in that shard: nothing of those that belong to another one."""
        own = [group_id for group_id in ids if target.shards.generation.shard_of(group_id) == shard]
        snapshots = self._expected.snapshots(own)
        return {group_id: snapshots.get(group_id, EMPTY) for group_id in ids}


def counted_hashes(shards: Shards, parked: bool) -> Sequence[str]:
    """Returns the hashes with a field for each group, and with `parked` the one with a field for each parked record."""
    parts = [part for part in PARTS if part != "text" or not shards.has_bits]
    return (*parts, "parked") if parked else parts
