"""What a generation is expected to hold, at positions of the log that only advance."""

from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from typing import Protocol

from events.logs.log import Log, Partition, Reader, Record
from projector.cache import Cache
from projector.errors import FatalError
from projector.project import Decoded, Known, decode_record, group_ids, known, project
from projector.readmodel.schema.keys import Generation
from projector.rebuild.builder import Builder
from projector.rebuild.windows import POLL_RECORDS, POLL_S, WINDOW_BYTES, WINDOW_RECORDS
from projector.retry import Retry
from projector.verify.difference import agree
from projector.verify.sample import Sample
from projector.verify.shards import Positions, Shards
from projector.verify.snapshot import EMPTY, GroupSnapshot, expected_snapshot, indexes_of_document
from projector.verify.tables import REFERENCE, SUBJECT, SetKey, Tables

# Called with the ids of groups that the log has just changed.
OnChanged = Callable[[Iterable[str]], None]


class Expected(Protocol):
    """`positions`: the snapshots reflect every event before them, and no other."""

    positions: Positions

    def advance(self, stop: Mapping[Partition, int], on_changed: OnChanged) -> None:
        """Advances to `stop` exactly. Raises FatalError, LogGap."""

    def snapshots(self, ids: Collection[str]) -> dict[str, GroupSnapshot]:
        """Returns a snapshot for each id, EMPTY for a group that is not expected."""

    def add_initial_sizes(self, snapshots: Mapping[str, GroupSnapshot]) -> None:
        """Adds the sizes of groups that exist before the first `advance`. Called once for each of them."""


class Refold:
    """Expects what the log says: folds the groups of `sample` again, by the pure code of the projector.

    Writes the states, the expected sizes of the sets of `generation`, and the expected parked records to `tables`.
    `accept_loss`: a log that has lost its beginning is folded from where it begins.
    `poison_pills`: positions of events that must not be decoded; they are expected to be parked.
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
        self._retry = retry
        self._poison_pills = poison_pills
        self._sample = sample
        self._cache = Cache()
        self.events = 0
        first = retry(log.first)
        for partition, offset in first.items():
            if offset and not accept_loss:
                raise FatalError(
                    f"the log has lost its beginning: {partition} begins at {offset}. To verify, the log must be "
                    "folded from its first event"
                )
        self.positions: Positions = first
        self._reader: Reader = retry(lambda: log.read(self.positions))

    def close(self) -> None:
        self._reader.close()

    def advance(
        self,
        stop: Mapping[Partition, int],
        on_changed: OnChanged,
        report_events: Callable[[int], None] = lambda events: None,
    ) -> None:
        reader = self._reader
        while any(reader.positions[p] < offset for p, offset in stop.items()):
            on_changed(self._fold(self._window(stop)))
            report_events(self.events)
        self.positions.update(stop)

    def snapshots(self, ids: Collection[str]) -> dict[str, GroupSnapshot]:
        states = self._tables.states(ids)
        return {
            group_id: expected_snapshot(group_id, known(group_id, states[group_id]), states[group_id])
            if group_id in states
            else EMPTY
            for group_id in ids
        }

    def add_initial_sizes(self, snapshots: Mapping[str, GroupSnapshot]) -> None:
        """Nothing to add: the fold has counted them."""

    def _window(self, stop: Mapping[Partition, int]) -> list[Decoded]:
        window: list[Decoded] = []
        size = 0
        while len(window) < WINDOW_RECORDS and size < WINDOW_BYTES:
            records: Collection[Record] = self._retry(lambda: self._reader.poll(POLL_S, POLL_RECORDS, stop))
            if not records:
                break
            self.events += len(records)
            size += sum(len(record.value or b"") for record in records)
            decoded = (decode_record(record, self._poison_pills) for record in records)
            window += [item for item in decoded if item.event is None or item.event.group_id in self._sample]
        return window

    def _fold(self, window: list[Decoded]) -> Collection[str]:
        """Returns the ids of the groups that the window changed."""
        ids = group_ids(window)
        before = {group_id: found for group_id in ids if (found := self._cache.take(group_id))}
        missing = [group_id for group_id in ids if group_id not in before]
        states = self._tables.states(missing)
        before |= {group_id: known(group_id, states.get(group_id)) for group_id in missing}
        names_before = {group_id: _names(found) for group_id, found in before.items()}
        change = project(before, window)
        sizes: Counter[SetKey] = Counter()
        for group_id, after in change.after.items():
            count_changes(sizes, SUBJECT, self._generation.shard_of(group_id), names_before[group_id], _names(after))
        parked = [(self._parking_shard(item), str(item.record)) for item in window if str(item.record) in change.parked]
        sizes.update((SUBJECT, shard, "parked") for shard, _ in parked)
        self._tables.add_sizes(sizes)
        self._tables.put_groups(change.state.items())
        self._tables.put_parked(parked)
        self._cache.put(change.after)
        return change.state.keys()

    def _parking_shard(self, item: Decoded) -> int:
        return self._generation.shard_of(item.event.group_id) if item.event else 0


class BuiltGeneration:
    """Expects what a new generation holds, which only `builder` writes and no API reads yet.

    Writes the groups of `sample` to `tables`, and the expected sizes of the sets of both generations: those of
    `generation`, which is compared with it, and its own, which must fit its documents.
    """

    def __init__(
        self, builder: Builder, shards: Shards, generation: Generation, tables: Tables, sample: Sample
    ) -> None:
        self._builder = builder
        self._shards = shards
        self._generation = generation
        self._tables = tables
        self._sample = sample
        self.positions: Positions = dict(builder.positions)
        # Group id -> the sets that it was in before the window that is being written.
        self._names_before: dict[str, set[str]] = {}

    def list_groups(self) -> None:
        """Writes the ids of all its groups to the tables."""
        for shard in range(self._shards.generation.shards):
            for ids in self._shards.members(shard, "state"):
                self._tables.put_groups((group_id, None) for group_id in self._sample.of(one.decode() for one in ids))

    def add_initial_sizes(self, snapshots: Mapping[str, GroupSnapshot]) -> None:
        self._count({group_id: set() for group_id in snapshots}, snapshots)

    def advance(self, stop: Mapping[Partition, int], on_changed: OnChanged) -> None:
        def before_window(changed: Collection[str]) -> None:
            ids = self._sample.of(changed)
            on_changed(ids)
            # If the builder writes a window twice, the names before the first time count.
            new = [group_id for group_id in ids if group_id not in self._names_before]
            self._names_before |= {group_id: snapshot.names for group_id, snapshot in self.snapshots(new).items()}

        self._builder.advance(stop, self._count_window, before_window)
        self.positions.update(stop)

    def snapshots(self, ids: Collection[str]) -> dict[str, GroupSnapshot]:
        """Two calls for each batch: the documents of the first name the sets in which the second looks groups up."""
        by_shard: dict[int, list[str]] = {}
        for group_id in ids:
            by_shard.setdefault(self._shards.generation.shard_of(group_id), []).append(group_id)
        found: dict[str, GroupSnapshot] = {}
        for shard, own in by_shard.items():
            parts = self._shards.snapshots(shard, dict.fromkeys(own, ()))
            wanted = {group_id: indexes_of_document(snapshot) for group_id, snapshot in parts.items()}
            scores = self._shards.snapshots(shard, wanted, documents=False)
            for group_id, snapshot in parts.items():
                snapshot.entries.update(scores[group_id].entries)
                snapshot.bits.update(scores[group_id].bits)
            found |= parts
        return found

    def _count_window(self) -> None:
        self._count(self._names_before, self.snapshots(list(self._names_before)))
        self._tables.put_groups((group_id, None) for group_id in self._names_before)
        self._names_before = {}

    def _count(self, before: Mapping[str, set[str]], snapshots: Mapping[str, GroupSnapshot]) -> None:
        sizes: Counter[SetKey] = Counter()
        for group_id, snapshot in snapshots.items():
            after = snapshot.names
            count_changes(sizes, SUBJECT, self._generation.shard_of(group_id), before[group_id], after)
            count_changes(sizes, REFERENCE, self._shards.generation.shard_of(group_id), before[group_id], after)
        self._tables.add_sizes(sizes)
        # Its bitmaps must fit its own sets.
        wrong = (group_id for group_id, snapshot in snapshots.items() if not agree(snapshot, snapshot))
        self._tables.put_candidates(REFERENCE, ((self._shards.generation.shard_of(one), one, "") for one in wrong))


def count_changes(sizes: Counter[SetKey], role: int, shard: int, before: set[str], after: set[str]) -> None:
    for name in after - before:
        sizes[role, shard, name] += 1
    for name in before - after:
        sizes[role, shard, name] -= 1


def _names(found: Known) -> set[str]:
    """Returns the hashes and sets that hold the group."""
    names = set(found.entries)
    if found.revision:
        names.add("state")
    if found.text is not None:
        names.update(("row", "rest", "text"))
    return names
