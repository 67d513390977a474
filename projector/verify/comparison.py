"""Whether a generation that may be written meanwhile holds exactly what it should.

Both sides are a function of positions of the log. What is expected can be moved on to any positions, what is found
tells its positions with every answer. So:

1. What is expected is brought to where the generation stands, and every group is compared. Where they differ, the
   generation may just have moved on: the group is a *candidate*. So is every group that the log has changed when the
   second step begins for its shard.
2. Candidates are read again, what is expected is moved on to exactly the positions of that answer, and now whatever
   differs is a difference.
3. In the same way sets and hashes are counted. Every member that ought to be there was looked up, so that a set of the
   right size has none too many. Of one that is not, or lacks a member, the members are listed; those that ought not to
   be there are candidates. The bits of a bitmap are counted like the members of its set.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from msgspec import Struct

from projector.readmodel.schema.keys import Generation
from projector.verify.book import Book
from projector.verify.buckets import index_of, is_bitmap
from projector.verify.expected import FOUND, Expected
from projector.verify.level import Level
from projector.verify.picture import (
    ABSENT,
    BY,
    EMPTY,
    PARTS,
    Difference,
    Digest,
    Picture,
    agree,
    difference,
    differing,
    digest,
    kind,
)
from projector.verify.shards import GROUPS_MAX, SIZES_MAX, Answer, Shards, lowest, portions

# What is done, of how much of it, and of how much in all: `fold` counts events, `compare` groups.
Tell = Callable[[str, int, int], None]


class Side(Struct, frozen=True):
    """A generation that is looked at, and its number in the book; `hashes`: those that are counted."""

    number: int
    shards: Shards
    hashes: Sequence[str]


class Comparison:
    """`expected_digest`, `found_digest`: of all groups, each as it was when it was last compared.

    `off`: kind of set -> members too many, or too few. `again`: how often a group was compared again.
    """

    def __init__(self, generation: Generation, expected: Expected, book: Book, level: Level) -> None:
        self.expected_digest = self.found_digest = Digest()
        self.off: Counter[str] = Counter()
        self.again = 0
        self._generation = generation
        self._unsettled = set(range(generation.shards))
        self._expected = expected
        self._book = book
        self._level = level

    def walk(self, shards: Shards, tell: Tell) -> None:
        """The first step. Afterwards every group that differed, or was changed meanwhile, is a candidate."""
        generation, done, total = shards.generation, 0, self._book.groups()
        for ids in self._book.walk(GROUPS_MAX * generation.shards):
            expected = self._expected.pictures(ids)
            self._expected.met(expected)
            by_shard: dict[int, list[str]] = {}
            for group_id in ids:
                by_shard.setdefault(generation.shard_of(group_id), []).append(group_id)
            for shard, some in by_shard.items():
                found = shards.pictures(shard, {group_id: BY | expected[group_id].entries.keys() for group_id in some})
                self._sift(shard, expected, found)
            done += len(ids)
            tell("compare", done, total)
        self._level.move(lowest(shards), self._touched)

    def settle(self, side: Side, sized: bool) -> None:
        """The second step, and if `sized` the third."""
        shards = side.shards
        if sized:
            self._book.put_seen(side.number, self._legible(side))
        for shard in sorted(
            range(shards.generation.shards), key=lambda shard: sum(shards.look(shard).positions.values())
        ):
            self._leveled(partial(shards.look, shard))
            if side.number == FOUND:
                self._unsettled.discard(shard)
            self._settle_groups(side, shard)
            self._settle_parked(side, shard)
            if sized:
                suspects = self._settle_sizes(side, shard)
                for name in suspects:
                    self._list(side, shard, name)
                self._settle_groups(side, shard)
                self._name_sets(side, shard, suspects)
            if shards.has_bits:
                self._settle_ordinals(side, shard)

    def _sift(self, shard: int, expected: Mapping[str, Picture], found: Mapping[str, Picture]) -> None:
        candidates = []
        for group_id, picture in found.items():
            if agree(expected[group_id], picture):
                same = digest(group_id, picture)
                self._note(shard, group_id, same, same)
            else:
                candidates.append((shard, group_id, ""))
        self._book.put_candidates(FOUND, candidates)

    def _touched(self, ids: Iterable[str]) -> None:
        """Whoever is settled already was compared at positions of its own: else under writes there would be no end."""
        sharded = ((self._generation.shard_of(group_id), group_id, "") for group_id in ids)
        self._book.put_candidates(FOUND, (one for one in sharded if one[0] in self._unsettled))

    def _leveled(self, look: Callable[[], Answer]) -> Answer:
        return self._level(look, self._touched)

    def _legible(self, side: Side) -> Iterable[tuple[int, str]]:
        for shard, name in side.shards.sets():
            try:
                yield shard, name.decode()
            except UnicodeDecodeError:
                self._surplus(side, shard, "", name.decode(errors="backslashreplace"))

    def _settle_groups(self, side: Side, shard: int) -> None:
        while candidates := self._book.take_candidates(side.number, shard, GROUPS_MAX):
            while candidates:
                for group_id, picture in self._ought(side, shard, candidates).items():
                    candidates[group_id] |= BY | picture.entries.keys()
                answer = self._leveled(partial(side.shards.look, shard, candidates))
                expected = self._ought(side, shard, answer.pictures)
                for group_id, found in answer.pictures.items():
                    # What we moved on over may have put it into a set in which it was not looked up.
                    if expected[group_id].entries.keys() <= candidates[group_id]:
                        del candidates[group_id]
                        self._judge(side, shard, group_id, expected[group_id], found)

    def _judge(self, side: Side, shard: int, group_id: str, expected: Picture, found: Picture) -> None:
        self.again += 1
        number = side.shards.generation.number
        self._book.clear_differences(number, shard, group_id)
        for what in differing(expected, found):
            self._book.put_difference(difference(number, shard, group_id, what, expected, found))
        if side.number == FOUND:
            self._note(shard, group_id, digest(group_id, expected), digest(group_id, found))

    def _note(self, shard: int, group_id: str, expected: Digest, found: Digest) -> None:
        before = self._book.compared(shard, group_id, (expected, found))
        self.expected_digest += expected - before[0]
        self.found_digest += found - before[1]

    def _settle_parked(self, side: Side, shard: int) -> None:
        names = self._book.parked(shard) if side.number == FOUND else []
        for start in range(0, len(names), GROUPS_MAX):
            some = names[start : start + GROUPS_MAX]
            answer = self._leveled(partial(side.shards.look, shard, parked=some))
            for name, there in zip(some, answer.parked, strict=True):
                if not there:
                    number = side.shards.generation.number
                    self._book.put_difference(Difference(number, shard, name, "parked", "", "a record", ABSENT))

    def _settle_sizes(self, side: Side, shard: int) -> list[str]:
        """The names of those that are not as large as they ought to be, or lack a member."""
        lacking = set(self._book.lacking(side.shards.generation.number, shard))
        self._book.put_seen(side.number, ((shard, name) for name in {*side.hashes, *BY, *lacking}))
        if side.shards.has_bits:
            self._book.put_seen(side.number, [(shard, "bits:all")])
        suspects = []
        while names := self._book.take_seen(side.number, shard, SIZES_MAX):
            for name, (ought, size) in self._sizes(side, shard, names).items():
                if ought != size or name in lacking:
                    suspects.append(name)
                if side.number == FOUND and not is_bitmap(name):
                    self.off[kind(name)] += size - ought
        return suspects

    def _sizes(self, side: Side, shard: int, names: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Name -> how many members or bits it ought to have, and has."""
        found = {}
        for some in portions(names):
            answer = self._leveled(partial(side.shards.look, shard, sizes=some))
            ought = self._book.sizes(side.number, shard, [index_of(name) for name in some])
            for name, size in zip(some, answer.sizes, strict=True):
                found[name] = ought.get(index_of(name), 0), size
        return found

    def _list(self, side: Side, shard: int, name: str) -> None:
        """Members that ought not to be there become candidates. Of a bit nobody can tell the group."""
        if is_bitmap(name):
            return
        index = name if name[2:3] == ":" else ""
        for members in side.shards.members(shard, name):
            ids = []
            for member in members:
                try:
                    ids.append(member.decode())
                except UnicodeDecodeError:
                    self._surplus(side, shard, member.decode(errors="backslashreplace"), name)
            if name == "parked":
                self._surplus_parked(side, shard, ids)
            else:
                ought = self._ought(side, shard, ids)
                surplus = [(shard, group_id, index) for group_id in ids if name not in ought[group_id].names]
                self._book.put_candidates(side.number, surplus)

    def _settle_ordinals(self, side: Side, shard: int) -> None:
        """That of each group is its own alone, hence they are 0, 1, 2 ... if there are as many as the largest says."""
        answer = side.shards.look(shard)
        (members, largest), lines = answer.ordinals, answer.lines
        number = side.shards.generation.number
        if self._book.differs(number, shard, "ordinal"):
            return
        if largest != members - 1:
            ought, found = f"the largest {members - 1}", f"the largest {largest:.17g}"
            self._book.put_difference(Difference(number, shard, "", "ordinal", "", ought, found))
        elif lines != members and not self._book.differs(number, shard, "text"):
            self._book.put_difference(Difference(number, shard, "", "text", "", f"{members} lines", f"{lines} lines"))

    def _surplus_parked(self, side: Side, shard: int, names: Sequence[str]) -> None:
        self._leveled(partial(side.shards.look, shard))
        for name in names:
            if not self._book.is_parked(shard, name):
                self._surplus(side, shard, name, "parked")

    def _surplus(self, side: Side, shard: int, group_id: str, name: str) -> None:
        number = side.shards.generation.number
        self._book.put_difference(Difference(number, shard, group_id, name, "", ABSENT, "a member"))

    def _name_sets(self, side: Side, shard: int, suspects: Sequence[str]) -> None:
        """Where no member can be named: the set itself."""
        number = side.shards.generation.number
        for start in range(0, len(suspects), SIZES_MAX):
            for name, (ought, size) in self._sizes(side, shard, suspects[start : start + SIZES_MAX]).items():
                if ought != size and not self._book.differs(number, shard, name):
                    unit = "bits" if is_bitmap(name) else "members"
                    told = Difference(number, shard, "", name, "", f"{ought} {unit}", f"{size} {unit}")
                    self._book.put_difference(told)

    def _ought(self, side: Side, shard: int, ids: Collection[str]) -> dict[str, Picture]:
        """A group ought to be in its own shard alone."""
        own = [group_id for group_id in ids if side.shards.generation.shard_of(group_id) == shard]
        pictures = self._expected.pictures(own)
        return {group_id: pictures.get(group_id, EMPTY) for group_id in ids}


def hashes(shards: Shards, parked: bool) -> Sequence[str]:
    """Those with a field for each group, or each parked record."""
    parts = [part for part in PARTS if part != "text" or not shards.has_bits]
    return (*parts, "parked") if parked else parts
