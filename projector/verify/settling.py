"""Groups that are looked at a second time, everything of a group at once; and what was found to differ."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from projector.readmodel.schema.keys import CREATED
from projector.verify.difference import ABSENT, Difference
from projector.verify.shards import GROUPS_MAX, Answer
from projector.verify.snapshot import PARTS, Snapshot, hashed, kind, scores_of
from projector.verify.tables import Candidate


class Findings:
    """The differences of all generations of a comparison: their number, and the `first` of them, at most `details_max`.

    `surplus`: kind -> unexpected members minus missing ones. `documents`, `entries`: sums modulo 2^64 of hashes of what
    differs, to be added to the digests of what is expected. `repeated`: how often a group was compared again.
    """

    def __init__(self, details_max: int) -> None:
        self.details_max = details_max
        self.differences = self.documents = self.entries = self.repeated = 0
        self.first: list[Difference] = []
        self.surplus: Counter[str] = Counter()
        self._seen: set[tuple[int, int, str, str]] = set()

    def add(self, one: Difference, again: bool = False) -> None:
        """`again`: whether a scan may find it several times."""
        key = one.generation, one.shard, one.group, one.what
        if again and key in self._seen:
            return
        if again:
            self._seen.add(key)
        self.differences += 1
        if len(self.first) < self.details_max:
            self.first.append(one)
        self.surplus[kind(one.what)] += (one.expected == ABSENT) - (one.found == ABSENT)
        mark = hashed((one.shard, one.group, one.what, one.at))
        if one.what in (*PARTS, "ordinal"):
            self.documents = (self.documents + mark) % 2**64
        else:
            self.entries = (self.entries + mark) % 2**64


class Settled(NamedTuple):
    """A group as it was read again, and as it is expected at the positions of that, if it is."""

    id: str
    ordinal: int | None
    expected: Snapshot | None
    found: Snapshot


def settled(
    candidates: dict[Candidate, set[str]],
    read: Callable[[dict[Candidate, set[str]]], Answer],
    expected: Callable[[Iterable[str]], Mapping[str, Snapshot]],
    by_own_records: bool,
) -> Iterator[Settled]:
    """Yields each of the groups, with the sorted sets in which it is looked up beside those that are expected.

    `expected`: what is expected as of the last `read`; with `by_own_records` the records that it returned say that.
    """
    while candidates:
        for group_id, snapshot in expected(map(str, candidates)).items():
            candidates[group_id] |= scores_of(snapshot.indexed).keys()
        for names in candidates.values():
            names.add(CREATED)
        answer = read(dict(islice(candidates.items(), GROUPS_MAX)))
        snapshots = answer.own_snapshots() if by_own_records else expected(map(str, answer.snapshots))
        for one, found in answer.snapshots.items():
            own = snapshots.get(str(one))
            # It may have changed, and be in sets in which it was not looked up.
            if own is None or scores_of(own.indexed).keys() <= candidates[one]:
                del candidates[one]
                yield Settled(str(one), answer.ordinals.get(one), own, found)
