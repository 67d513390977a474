"""What a generation is expected to hold, at positions of the log that only advance."""

from collections.abc import Callable, Collection, Container, Iterable, Mapping
from typing import Protocol

from events.logs.log import Log, Partition
from projector.cache import Cache
from projector.errors import FatalError
from projector.project import Decoded, Stored, group_ids, known, new, project
from projector.readmodel.record.state import revision_of
from projector.readmodel.schema.keys import Generation
from projector.rebuild.builder import Builder
from projector.rebuild.windows import Windows
from projector.retry import Retry
from projector.verify.sample import Sample
from projector.verify.shards import Positions, Shards
from projector.verify.snapshot import Snapshot, Totals, packed, unpacked
from projector.verify.tables import Tables

# Called with the ids of groups that the log has just changed.
OnChanged = Callable[[Iterable[str]], None]


class Expected(Protocol):
    """`positions`: the snapshots reflect every event before them, and no other. `events`: folded for that by ourselves;
    if any were, `tables` has the parked records that are expected.
    """

    positions: Positions
    events: int

    def advance(self, stop: Mapping[Partition, int], on_changed: OnChanged) -> None:
        """Advances to `stop` exactly. Raises FatalError, LogGap."""

    def snapshots(self, ids: Iterable[str]) -> dict[str, Snapshot]:
        """Returns snapshots of those groups that are expected."""


class Refold:
    """Expects what the log says: folds the groups of `sample` again, by the pure code of the projector.

    Writes the records, of groups as sharded in `generation`, and the names of parked records to `tables`. `totals`: of
    all of that. `accept_loss`: a log that has lost its beginning is folded from where it begins. `poison_pills`:
    positions of events that must not be decoded; they are expected to be parked.
    """

    def __init__(
        self,
        log: Log,
        generation: Generation,
        tables: Tables,
        retry: Retry,
        sample: Sample,
        accept_loss: bool = False,
        poison_pills: Container[str] = (),
    ) -> None:
        self._generation = generation
        self._tables = tables
        self._sample = sample
        self._cache = Cache()
        self.totals = Totals()
        self.events = 0
        first = retry(log.first)
        for partition, offset in first.items():
            if offset and not accept_loss:
                raise FatalError(
                    f"the log has lost its beginning: {partition} begins at {offset}. To verify, the log must be "
                    "folded from its first event"
                )
        self.positions: Positions = first
        self._reader = retry(lambda: log.read(self.positions))
        self._windows = Windows(self._reader, poison_pills, retry, generation.personal_data)

    def close(self) -> None:
        self._reader.close()

    def advance(
        self,
        stop: Mapping[Partition, int],
        on_changed: OnChanged,
        report_events: Callable[[int], None] = lambda events: None,
    ) -> None:
        while any(self._windows.positions[p] < offset for p, offset in stop.items()):
            window = self._windows.take(stop)
            self.events += len(window)
            on_changed(self._fold([one for one in window if one.event is None or one.event.group_id in self._sample]))
            report_events(self.events)
        self.positions.update(stop)

    def snapshots(self, ids: Iterable[str]) -> dict[str, Snapshot]:
        found = self._tables.expected(ids)
        return {group_id: unpacked(record, row, held) for group_id, record, row, held in found}

    def _fold(self, window: list[Decoded]) -> Collection[str]:
        """Returns the ids of the groups that the window changed."""
        ids = group_ids(window)
        before = {group_id: found for group_id in ids if (found := self._cache.take(group_id))}
        missing = [group_id for group_id in ids if group_id not in before]
        records = {group_id: record for group_id, record, _, _ in self._tables.expected(missing)}
        for number, group_id in enumerate(ids):
            if group_id not in before:
                record = records.get(group_id)
                before[group_id] = known(group_id, Stored(0, record)) if record else new(0)
            # Ordinals tell the groups of a window apart, and mean nothing else here.
            before[group_id].ordinal = number
        change = project(before, window)
        for ordinal, record in change.records.items():
            group_id = ids[ordinal]
            revision = change.groups[group_id][1]
            if revision:
                self.totals.add_record(group_id, revision, -1)
            self.totals.add_record(group_id, revision_of(record))
        for ordinal, (old, after) in change.moves.items():
            self.totals.add_indexed(ids[ordinal], old, -1)
            self.totals.add_indexed(ids[ordinal], after)
        changed = {ids[ordinal]: ordinal for ordinal in change.records}
        shard_of = self._generation.shard_of
        self._tables.put_expected(
            (i, shard_of(i), change.records[n], change.rows.get(n), packed(change.after[i].indexed))
            for i, n in changed.items()
        )
        self._tables.put_parked(
            (shard_of(item.event.group_id) if item.event else 0, str(item.record))
            for item in window
            if str(item.record) in change.parked
        )
        self._cache.put(change.after)
        return changed.keys()


class BuiltGeneration:
    """Expects what a new generation holds, which only `builder` writes and no API reads yet.

    Writes the ids of its groups, of those of `sample`, to `tables`, as sharded in `generation`, which is compared.
    """

    events = 0

    def __init__(
        self, builder: Builder, shards: Shards, generation: Generation, tables: Tables, sample: Sample
    ) -> None:
        self._builder = builder
        self._shards = shards
        self._generation = generation
        self._tables = tables
        self._sample = sample
        self.positions: Positions = dict(builder.positions)

    def list_groups(self) -> None:
        for shard in range(self._shards.generation.shards):
            for fields in self._shards.streams.fields(shard, "ordinal"):
                self._put(group_id.decode(errors="backslashreplace") for group_id in fields)

    def advance(self, stop: Mapping[Partition, int], on_changed: OnChanged) -> None:
        def before_window(changed: Collection[str]) -> None:
            ids = self._sample.of(changed)
            self._put(ids)
            on_changed(ids)

        self._builder.advance(stop, before_window=before_window)
        self.positions.update(stop)

    def snapshots(self, ids: Iterable[str]) -> dict[str, Snapshot]:
        return self._shards.own_snapshots(ids)

    def _put(self, ids: Iterable[str]) -> None:
        shard_of = self._generation.shard_of
        self._tables.put_expected((group_id, shard_of(group_id), b"", None, b"") for group_id in self._sample.of(ids))
