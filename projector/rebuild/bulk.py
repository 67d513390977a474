"""Folds partitions of the log, one after the other, into a generation that nobody reads yet.

A window of many events is folded in memory. Then its groups are written with plain commands, and last its position.
Before that, the window's bounds, ordinals and tally are put into the books of the shard, see books.py: a builder that
is killed is followed by one that writes exactly the same again.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial

from events.logs.log import Log, Partition
from projector.anchors import newest_anchors
from projector.errors import GenerationLost
from projector.project import Decoded
from projector.readmodel.schema.keys import Generation
from projector.rebuild.shard import PositionsLost, ShardBuilder
from projector.rebuild.windows import Windows
from projector.retry import Retry
from projector.store.redis import Store

# Partition -> position.
Report = Callable[[Mapping[Partition, int]], None]


class Bulk:
    """Builds as a builder of `run`, beside those of other partitions. `park`: park events that break the contract, else
    raise PoisonEvent. `report` gets the positions that all shards have reached, after each window.
    """

    def __init__(
        self, log: Log, store: Store, generation: Generation, run: str, retry: Retry, park: bool, report: Report
    ) -> None:
        self._log = log
        self._store = store
        self._generation = generation
        self._run = run
        self._retry = retry
        self._park = park
        self._report = report
        self._positions: dict[Partition, int] = {}
        self._poison_pills: Collection[str] = ()

    def build(self, stop: Mapping[Partition, int]) -> None:
        """Returns when all shards have reached `stop`. Raises PoisonEvent, LogGap, FatalError, what `retry` raises."""
        while True:
            try:
                # Before writing: the next start of Redis could misread what is appended to a torn file.
                self._retry(self._store.rewrite_files)
                self._poison_pills = self._retry(lambda: self._store.poison_pills(self._generation))
                # Windows left unfinished, first: builders of other partitions wait for them.
                for partition in stop:
                    self._resume(partition)
                for partition, end in stop.items():
                    self._build(partition, end)
                return
            except PositionsLost:
                if not self._retry(lambda: self._store.is_open(self._generation)):
                    raise GenerationLost(self._generation.number) from None

    def _resume(self, partition: Partition) -> None:
        for shard, builder in enumerate(self._builders(partition)):
            if (plan := builder.start()) is not None:
                window: list[Decoded] = []
                stop = min(plan.stop, self._retry(self._log.end)[partition])
                with self._windows(partition, plan.start or 0) as windows:
                    while windows.positions[partition] < stop:
                        window += windows.take({partition: stop})
                builder.resume(plan, self._items_of(shard, window), newest_anchors(item.record for item in window))

    def _build(self, partition: Partition, stop: int) -> None:
        builders = self._builders(partition)
        for builder in builders:
            builder.start()
        # The plan of the replay has accepted the loss of what the log no longer has.
        first = self._retry(self._log.first)[partition]
        with self._windows(partition, max(min(builder.position or 0 for builder in builders), first)) as windows:
            while windows.positions[partition] < stop:
                window = windows.take({partition: stop})
                position = windows.positions[partition]
                anchors = newest_anchors(item.record for item in window)
                for shard, builder in enumerate(builders):
                    builder.write(self._items_of(shard, window, builder.position or 0), position, anchors)
                self._positions[partition] = position
                self._report(self._positions)

    @contextmanager
    def _windows(self, partition: Partition, start: int) -> Iterator[Windows]:
        with closing(self._retry(partial(self._log.read, {partition: start}))) as reader:
            yield Windows(reader, self._poison_pills, self._retry, self._generation.personal_data)

    def _builders(self, partition: Partition) -> list[ShardBuilder]:
        return [
            ShardBuilder(self._store, self._generation, shard, self._run, partition, self._retry, self._park)
            for shard in range(self._generation.shards)
        ]

    def _items_of(self, shard: int, window: Sequence[Decoded], start: int = 0) -> list[Decoded]:
        """Returns the shard's records from `start` on. Records without a group are counted, and parked, in shard 0."""
        of, is_one = self._generation.shard_of, self._generation.shards == 1
        return [
            item
            for item in window
            if item.record.offset >= start and (is_one or (of(item.event.group_id) if item.event else 0) == shard)
        ]
