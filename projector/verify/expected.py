"""What a generation ought to hold, at positions of the log that can be moved on, but never back."""

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
from projector.verify.book import Book, Sized
from projector.verify.picture import EMPTY, Picture, agree, named, picture_of
from projector.verify.sample import Sample
from projector.verify.shards import Positions, Shards

# Called with groups that the log has just changed.
Touched = Callable[[Iterable[str]], None]
# The side of the book for the sets of the generation that is verified, and of the one that it is compared with.
FOUND, BUILT = 0, 1


class Expected(Protocol):
    """`positions`: every event before them is in the pictures, and no other."""

    positions: Positions

    def advance(self, stop: Mapping[Partition, int], touched: Touched) -> None:
        """To `stop` exactly. Raises FatalError, LogGap."""

    def pictures(self, ids: Collection[str]) -> dict[str, Picture]:
        """An EMPTY one for a group that there ought not to be."""

    def met(self, pictures: Mapping[str, Picture]) -> None:
        """Called once with every group that there is at first."""


class Refold:
    """The log, folded again by the pure code of the projector into the book.

    Of the groups in `sample`. The book is told how large the sets of `generation` ought to be, shard by shard, and what
    ought to be parked.
    `accept_loss`: a log that has lost its beginning is folded from where it begins.
    `poison_pills`: positions of events that are not to be touched, hence are parked.
    """

    def __init__(
        self,
        log: Log,
        generation: Generation,
        book: Book,
        retry: Retry,
        sample: Sample,
        accept_loss: bool = False,
        poison_pills: Container[str] = (),
    ) -> None:
        self._generation = generation
        self._book = book
        self._retry = retry
        self._poison_pills = poison_pills
        self._sample = sample
        self._cache = Cache()
        self.events = 0
        first = retry(log.first)
        for partition, offset in first.items():
            if offset and not accept_loss:
                raise FatalError(
                    f"the log has lost its beginning: {partition} begins at {offset}. A refold needs the log from its "
                    "first event; without, nobody can tell what the groups ought to be"
                )
        self.positions: Positions = first
        self._reader: Reader = retry(lambda: log.read(self.positions))

    def close(self) -> None:
        self._reader.close()

    def advance(
        self, stop: Mapping[Partition, int], touched: Touched, tell: Callable[[int], None] = lambda events: None
    ) -> None:
        reader = self._reader
        while any(reader.positions[p] < offset for p, offset in stop.items()):
            touched(self._fold(self._window(stop)))
            tell(self.events)
        self.positions.update(stop)

    def pictures(self, ids: Collection[str]) -> dict[str, Picture]:
        states = self._book.states(ids)
        return {
            group_id: picture_of(group_id, known(group_id, states[group_id]), states[group_id])
            if group_id in states
            else EMPTY
            for group_id in ids
        }

    def met(self, pictures: Mapping[str, Picture]) -> None:
        """The fold has counted them."""

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
        """The groups that it changed."""
        ids = group_ids(window)
        before = {group_id: found for group_id in ids if (found := self._cache.take(group_id))}
        missing = [group_id for group_id in ids if group_id not in before]
        states = self._book.states(missing)
        before |= {group_id: known(group_id, states.get(group_id)) for group_id in missing}
        names = {group_id: _names(found) for group_id, found in before.items()}
        change = project(before, window)
        sizes: Counter[Sized] = Counter()
        for group_id, after in change.after.items():
            grown(sizes, FOUND, self._generation.shard_of(group_id), names[group_id], _names(after))
        parked = [(self._parking_shard(item), str(item.record)) for item in window if str(item.record) in change.parked]
        sizes.update((FOUND, shard, "parked") for shard, _ in parked)
        self._book.grow(sizes)
        self._book.put(change.state.items())
        self._book.put_parked(parked)
        self._cache.put(change.after)
        return change.state.keys()

    def _parking_shard(self, item: Decoded) -> int:
        return self._generation.shard_of(item.event.group_id) if item.event else 0


class Built:
    """A generation that nobody but its builder writes, and nobody reads yet: the groups in `sample`.

    The book is told how large the sets of `generation`, which is compared with it, ought to be, and its own.
    """

    def __init__(self, builder: Builder, shards: Shards, generation: Generation, book: Book, sample: Sample) -> None:
        self._builder = builder
        self._shards = shards
        self._generation = generation
        self._book = book
        self._sample = sample
        self.positions: Positions = dict(builder.positions)
        # What the groups were in before the window that is being written.
        self._before: dict[str, set[str]] = {}

    def list_groups(self) -> None:
        """Puts all there are into the book."""
        for shard in range(self._shards.generation.shards):
            for ids in self._shards.members(shard, "state"):
                self._book.put((group_id, None) for group_id in self._sample.of(one.decode() for one in ids))

    def met(self, pictures: Mapping[str, Picture]) -> None:
        self._count({group_id: set() for group_id in pictures}, pictures)

    def advance(self, stop: Mapping[Partition, int], touched: Touched) -> None:
        def touch(changed: Collection[str]) -> None:
            ids = self._sample.of(changed)
            touched(ids)
            # Had the builder to write a window twice, what was there before the first time is what counts.
            fresh = [group_id for group_id in ids if group_id not in self._before]
            self._before |= {group_id: picture.names for group_id, picture in self.pictures(fresh).items()}

        self._builder.advance(stop, self._count_window, touch)
        self.positions.update(stop)

    def pictures(self, ids: Collection[str]) -> dict[str, Picture]:
        """Two calls for each slice: the first tells in which sets the second has to look."""
        by_shard: dict[int, list[str]] = {}
        for group_id in ids:
            by_shard.setdefault(self._shards.generation.shard_of(group_id), []).append(group_id)
        found: dict[str, Picture] = {}
        for shard, some in by_shard.items():
            parts = self._shards.pictures(shard, dict.fromkeys(some, ()))
            wanted = {group_id: named(picture) for group_id, picture in parts.items()}
            scores = self._shards.pictures(shard, wanted, documents=False)
            for group_id, picture in parts.items():
                picture.entries.update(scores[group_id].entries)
                picture.bits.update(scores[group_id].bits)
            found |= parts
        return found

    def _count_window(self) -> None:
        self._count(self._before, self.pictures(list(self._before)))
        self._book.put((group_id, None) for group_id in self._before)
        self._before = {}

    def _count(self, before: Mapping[str, set[str]], pictures: Mapping[str, Picture]) -> None:
        sizes: Counter[Sized] = Counter()
        for group_id, picture in pictures.items():
            after = picture.names
            grown(sizes, FOUND, self._generation.shard_of(group_id), before[group_id], after)
            grown(sizes, BUILT, self._shards.generation.shard_of(group_id), before[group_id], after)
        self._book.grow(sizes)
        # Its bitmaps have to fit its own sets.
        unfit = (group_id for group_id, picture in pictures.items() if not agree(picture, picture))
        self._book.put_candidates(BUILT, ((self._shards.generation.shard_of(one), one, "") for one in unfit))


def grown(sizes: Counter[Sized], side: int, shard: int, before: set[str], after: set[str]) -> None:
    for name in after - before:
        sizes[side, shard, name] += 1
    for name in before - after:
        sizes[side, shard, name] -= 1


def _names(found: Known) -> set[str]:
    """The hashes and sets that have the group."""
    names = set(found.entries)
    if found.revision:
        names.add("state")
    if found.text is not None:
        names.update(("row", "rest", "text"))
    return names
