"""Is the log still the one that was applied? What Redis has next to its positions is compared with the log's records.

Where the newest of these records is gone (retention, compaction), or nothing fits the position (an older release has
moved it), nothing is known, which is no difference.
"""

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from events.errors import LogDiverged
from events.logs.log import Log, Loss, Partition, Position
from projector.anchors import Anchor, Last, anchor_of
from projector.patience import Insist
from projector.readmodel.schema.keys import Generation
from projector.store.redis import Store

REBUILD = f"To rebuild the read model from the log as it is now: projector replay --accept-loss {Loss.RECREATED}"


class Divergence(Struct, frozen=True):
    """The log holds other records than Redis has applied before `position`.

    `newest`, `oldest`: offsets of records known to differ. `common`: of the newest one known to be the same.
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
            f"at {Position(self.partition, self.newest)} than Redis has applied: it was put back to an older state, or "
            f"another one took its place; {common}"
        )

    @property
    def first_lost(self) -> Position:
        """The first offset at which the log may hold another record."""
        return Position(self.partition, 0 if self.common is None else self.common + 1)

    @property
    def lost(self) -> str:
        """How many applied events the log no longer holds, as far as that is known."""
        least, most = self.position - self.oldest, self.position - self.first_lost.offset
        return f"{least}" if least == most else f"{least} to {most}"


class Compared(Struct, frozen=True):
    """Partitions by what was found. Those that nothing was applied of are not among them."""

    same: Sequence[Partition]
    unknown: Sequence[Partition]
    diverged: Sequence[Divergence]


def compare(log: Log, store: Store, generation: Generation, partitions: Sequence[Partition]) -> Compared:
    """What every shard has applied counts. Raises LogMissing, LogUnavailable, StoreUnavailable."""
    applied: dict[Partition, set[Last]] = {}
    for shard in range(generation.shards):
        stands = store.stands(generation, shard, partitions)
        for partition, (position, last) in zip(partitions, stands, strict=True):
            if position:
                applied.setdefault(partition, set()).update([last] if last else [])
    records = _Records(log)
    # The newest of each in one call: mostly they are all that is looked at.
    records.fetch({p: max(last.anchors[0].offset for last in lasts) for p, lasts in applied.items() if lasts})
    same, unknown, diverged = [], [], []
    for partition, lasts in applied.items():
        found = [records.compare(partition, last) for last in sorted(lasts, key=lambda last: -last.position)]
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
    insist: Insist,
    tell: Callable[[Compared], None],
) -> None:
    """Raises LogDiverged. The generation is marked for the API then, and not any more where nothing differs."""
    found: Compared = insist(lambda: compare(log, store, generation, partitions))
    tell(found)
    if not found.diverged:
        insist(lambda: store.unmark_diverged(generation, partitions))
        return
    reasons = {one.partition: str(one) for one in found.diverged}
    insist(lambda: store.mark_diverged(generation, reasons))
    raise LogDiverged(f"{'; '.join(reasons.values())}. {REBUILD}")


class _Records:
    """Of the log, each looked up once."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._found: dict[tuple[Partition, int], Anchor | None] = {}

    def fetch(self, offsets: dict[Partition, int]) -> None:
        for partition, record in self._log.at(offsets).items() if offsets else ():
            self._found[partition, offsets[partition]] = anchor_of(record) if record else None

    def compare(self, partition: Partition, last: Last) -> Divergence | bool:
        """Whether it is known to be the same."""
        different: list[int] = []
        common = None
        for anchor, found in self._looked_up(partition, last):
            if found == anchor:
                common = anchor.offset
                break
            if found is not None:
                different.append(anchor.offset)
        if different:
            return Divergence(partition, last.position, different[0], different[-1], common)
        return common is not None

    def _looked_up(self, partition: Partition, last: Last) -> Iterator[tuple[Anchor, Anchor | None]]:
        for anchor in last.anchors:
            if (partition, anchor.offset) not in self._found:
                self.fetch({partition: anchor.offset})
            yield anchor, self._found[partition, anchor.offset]
