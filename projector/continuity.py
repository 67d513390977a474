"""Checks that the log still holds the records that were applied, by the anchors stored next to Redis' positions.

Where the log has dropped these records (retention, compaction), or no anchors belong to the position (an older release
has moved it), the result is `unknown`, which does not stop the projector.
"""

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from events.errors import LogDiverged, LogGap
from events.logs.log import Log, Loss, Partition, Position
from projector.anchors import ANCHORS_MAX, Anchor, Anchors, anchor_of
from projector.readmodel.schema.keys import Generation
from projector.retry import Retry
from projector.store.redis import Store

REBUILD = f"To rebuild the read model from the current log: projector replay --accept-loss {Loss.RECREATED}"


def check_end(partition: Partition, applied: int, end: int) -> None:
    """Raises LogGap if the log ends before `applied`, the highest position of all shards."""
    if applied > end:
        raise LogGap(
            f"Redis has applied {partition} up to {applied}, but the log ends at {end}: it was truncated or recreated. "
            f"{REBUILD}"
        )


class Divergence(Struct, frozen=True):
    """The log differs from what Redis has applied before `position`.

    `newest`, `oldest`: offsets of the records known to differ. `common`: offset of the newest record known to be equal,
    older than all that differ.
    """

    partition: Partition
    position: int
    newest: int
    oldest: int
    common: int | None

    def __str__(self) -> str:
        common = "no record is known to be common"
        if self.common is not None:
            common = f"the last record known to be common is {Position(self.partition, self.common)}"
        return (
            f"log_diverged: Redis has applied {self.partition} up to {self.position}, but the log holds another record "
            f"at {Position(self.partition, self.newest)} than Redis has applied: it was restored to an older state, or "
            f"replaced by another log; {common}"
        )

    @property
    def first_lost(self) -> Position:
        """The first offset at which the log may hold another record."""
        return Position(self.partition, 0 if self.common is None else self.common + 1)

    @property
    def lost(self) -> str:
        """Returns how many applied events the log no longer holds: a number, or a range such as `3 to 17`."""
        least, most = self.position - self.oldest, self.position - self.first_lost.offset
        return f"{least}" if least == most else f"{least} to {most}"


class Compared(Struct, frozen=True):
    """Partitions by result. Partitions of which nothing was applied are left out."""

    same: Sequence[Partition]
    unknown: Sequence[Partition]
    diverged: Sequence[Divergence]


def compare(
    log: Log, store: Store, generation: Generation, partitions: Sequence[Partition], thorough: bool = True
) -> Compared:
    """Compares the anchors of each shard with the log. Raises LogMissing, LogUnavailable, StoreUnavailable.

    `thorough`: compare all anchors, not only the newest that the log still has. If records of another log were applied
    once, the newest anchors are theirs, and match.
    """
    applied: dict[Partition, set[Anchors]] = {}
    for shard in range(generation.shards):
        stored = store.positions_and_anchors(generation, shard, partitions)
        for partition, (position, last) in zip(partitions, stored, strict=True):
            if position:
                applied.setdefault(partition, set()).update([last] if last else [])
    records = _Records(log)
    # One look-up for all partitions. Usually all shards have the same anchors, so that no further look-ups follow.
    lasts = {p: max(found, key=lambda last: last.position).anchors for p, found in applied.items() if found}
    for number in range(ANCHORS_MAX if thorough else 1):
        records.fetch({p: anchors[number].offset for p, anchors in lasts.items() if number < len(anchors)})
    same, unknown, diverged = [], [], []
    for partition, of_shards in applied.items():
        newest_first = sorted(of_shards, key=lambda last: -last.position)
        found = [records.compare(partition, last, thorough) for last in newest_first]
        if others := [one for one in found if isinstance(one, Divergence)]:
            diverged.append(others[0])
        elif True in found:
            same.append(partition)
        else:
            unknown.append(partition)
    return Compared(same, unknown, diverged)


def check_continuity(
    log: Log,
    store: Store,
    generation: Generation,
    partitions: Sequence[Partition],
    retry: Retry,
    report: Callable[[Compared], None],
    thorough: bool,
) -> None:
    """Raises LogDiverged, after marking the generation for the API. Removes the mark where nothing differs."""
    found: Compared = retry(lambda: compare(log, store, generation, partitions, thorough))
    report(found)
    if not found.diverged:
        retry(lambda: store.unmark_diverged(generation, partitions))
        return
    reasons = {one.partition: str(one) for one in found.diverged}
    retry(lambda: store.mark_diverged(generation, reasons))
    raise LogDiverged(f"{'; '.join(reasons.values())}. {REBUILD}")


class _Records:
    """Anchors of the log's records; looks each record up once."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._found: dict[tuple[Partition, int], Anchor | None] = {}

    def fetch(self, offsets: dict[Partition, int]) -> None:
        for partition, record in self._log.at(offsets).items() if offsets else ():
            anchor = anchor_of(record) if record else None
            # An unreadable record matches anything: another release may be able to read it.
            self._found[partition, offsets[partition]] = anchor if anchor and anchor.digest else None

    def compare(self, partition: Partition, last: Anchors, thorough: bool) -> Divergence | bool:
        """Returns the divergence; without one, whether any record is known to be equal."""
        different: list[int] = []
        common = None  # the newest equal record that is older than all that differ
        for anchor, found in self._looked_up(partition, last):
            if found is None or not anchor.digest:
                continue
            if found != anchor:
                different.append(anchor.offset)
                common = None
            elif common is None:
                common = anchor.offset
            if common is not None and not thorough:
                break
        if different:
            return Divergence(partition, last.position, different[0], different[-1], common)
        return common is not None

    def _looked_up(self, partition: Partition, last: Anchors) -> Iterator[tuple[Anchor, Anchor | None]]:
        for anchor in last.anchors:
            if (partition, anchor.offset) not in self._found:
                self.fetch({partition: anchor.offset})
            yield anchor, self._found[partition, anchor.offset]
