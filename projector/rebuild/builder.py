"""Folds a part of the log into a generation that no API reads yet.

`projector run` commits each batch as a whole, since readers wait for it. A builder folds a *window* of many more events
in memory and writes each of their groups once, in parts of one script call each. Only the last part advances the
positions: a builder that is killed within a window repeats it, and the fold ignores events that it has already seen.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import zip_longest

from msgspec import Struct, structs

from events.logs.log import Log, Partition
from projector.cache import Cache
from projector.errors import FatalError
from projector.parked.record import now_text
from projector.project import Change, Decoded, Known, known, project
from projector.readmodel.schema.keys import Generation
from projector.rebuild.parts import PART_GROUPS, Part, Positions, Tally, add_tallies, describe_poison, parts, split
from projector.rebuild.windows import WINDOW_RECORDS, Windows
from projector.retry import Retry
from projector.store.commit import REQUEST_BYTES_MAX, Outcome, request
from projector.store.pending import PendingCommit, PendingLoad
from projector.store.redis import Store
from projector.trail import Trail

# A window of at most so many records is one part, so it is visible to readers as a whole or not at all.
SINGLE_PART_RECORDS = PART_GROUPS


class PoisonEvent(FatalError):
    """The log holds an event that `projector run` would park, and `park` is off."""


class PositionsLost(Exception):
    """The positions in Redis are not those that were written: it lost writes, or another process wrote."""


class InFlight(Struct):
    part: Part
    change: Change
    sent: PendingCommit


class Builder:
    """Folds the given partitions; several builders may share a generation.

    `park`: park events that break the contract, else raise PoisonEvent. `window`: records of a window, at most.
    """

    def __init__(
        self,
        log: Log,
        store: Store,
        generation: Generation,
        partitions: Sequence[Partition],
        retry: Retry,
        park: bool = False,
        window: int = WINDOW_RECORDS,
    ) -> None:
        self.generation = generation
        self.log = log
        self._store = store
        self._partitions = partitions
        self.retry = retry
        self._park = park
        self._window_records = window
        self._cache = Cache()
        self._shard_positions: list[dict[Partition, int | None]] = []
        self._trail = Trail(generation.shards)
        self._windows: Windows | None = None
        self._loading: PendingLoad | None = None
        self._in_flight: InFlight | None = None
        # By shard: the fates of records in parts that were written without advancing the positions.
        self._tally: dict[int, Tally] = {}
        self._parked_bytes: defaultdict[int, Counter[str]] = defaultdict(Counter)

    @property
    def positions(self) -> dict[Partition, int]:
        """What every shard has stored; read from Redis by `advance`."""
        return {p: min(positions[p] or 0 for positions in self._shard_positions) for p in self._partitions}

    def advance(
        self,
        stop: Positions,
        after_window: Callable[[], None] = lambda: None,
        before_window: Callable[[Collection[str]], None] = lambda ids: None,
    ) -> None:
        """Returns when the generation is at `stop` exactly, or where it is already if that is later.

        `before_window` is called with the group ids of a window before it is written, `after_window` afterwards.
        Raises PoisonEvent, LogGap, FatalError.
        """
        unknown = [str(partition) for partition in stop if partition not in self._partitions]
        if unknown:
            raise FatalError(f"the log has new partitions, such as {unknown[0]}: run the command again")
        while True:
            try:
                windows = self._windows = self._windows or self._start()
                while any(offset > self.positions[p] for p, offset in stop.items()):
                    window, reached = windows.take(stop)
                    before_window({item.event.group_id for item in window if item.event})
                    self._apply(window, reached, partial(windows.read_ahead, stop))
                    after_window()
                return
            except BaseException as error:
                # A part of the window may be neither stored nor still to be read: the next call starts anew.
                self.close()
                if not isinstance(error, PositionsLost):
                    raise
                if not self.retry(lambda: self._store.is_open(self.generation)):
                    number = self.generation.number
                    raise FatalError(f"Redis has lost generation {number}: run the command again") from None

    def close(self) -> None:
        in_flight, self._in_flight = self._in_flight, None
        if in_flight is not None:
            in_flight.sent.discard()
        loading, self._loading = self._loading, None
        if loading is not None:
            loading.discard()
        windows, self._windows = self._windows, None
        if windows is not None:
            windows.close()

    def _start(self) -> Windows:
        self._cache.clear()
        # Before writing: the next start of Redis could misread what is appended to a torn file.
        self.retry(self._store.rewrite_files)
        poison_pills = self.retry(lambda: self._store.poison_pills(self.generation))
        self._shard_positions = []
        for shard in range(self.generation.shards):
            self.retry(partial(self._store.finish, self.generation, shard))
            found = self.retry(partial(self._store.positions_and_anchors, self.generation, shard, self._partitions))
            self._shard_positions.append(self._trail.start(shard, self._partitions, found))
        first = self.retry(self.log.first)
        # The plan has accepted the loss of what the log no longer has.
        start = {p: max(offset, first[p]) for p, offset in self.positions.items()}
        return Windows(self.log.read(start), poison_pills, self.retry, self._window_records)

    def _apply(self, window: Sequence[Decoded], reached: Positions, read_ahead: Callable[[int], None]) -> None:
        """Writes a window. While Redis writes a part, the next one is projected, the states for the one after that are
        loaded, and as many records of the next window are read as are written.
        """
        self._tally = {}
        self._parked_bytes.clear()
        cut = parts(self.generation, self._shard_positions, self._trail, window, reached)
        for part, following in zip_longest(cut, cut[1:]):
            states = self._states(part)
            self._loading = self._start_loading(following) if following else None
            self._write(part, states)
            read_ahead(sum(map(len, part.groups.values())) + len(part.ungrouped))
        self._settle()

    def _start_loading(self, part: Part) -> PendingLoad | None:
        """Requests the states of those groups that are not in the cache."""
        missing = [group_id for group_id in part.groups if group_id not in self._cache]
        return self._store.start_load(self.generation, part.shard, missing) if missing else None

    def _states(self, part: Part) -> Mapping[str, bytes | None]:
        """Returns the states requested before the previous part was sent; for the first part, requests them now."""
        self._loading = self._loading or self._start_loading(part)
        states = self.retry(self._loading.states) if self._loading else {}
        self._loading = None
        return states

    def _write(self, part: Part, states: Mapping[str, bytes | None]) -> None:
        """Projects a part while Redis writes the previous one, and sends it when that is stored."""
        if part.advances:
            self._settle()
        change, sendable = self._project(part, self._known_groups(part, states))
        if len(part.groups) > 1 and sum(map(len, sendable)) > REQUEST_BYTES_MAX:
            for half in split(part):
                # Projecting has changed the known groups in place, so they are loaded again.
                self._write(half, {})
            return
        self._settle()
        sent = self._store.commit(self.generation, part.shard, sendable)
        self._in_flight = InFlight(part, change, sent)

    def _known_groups(self, part: Part, states: Mapping[str, bytes | None]) -> dict[str, Known]:
        before = {}
        for group_id in part.groups:
            found = self._cache.take(group_id)
            if found is None and group_id in states:
                found = known(group_id, states[group_id])
            if found is not None:
                before[group_id] = found
        # Groups may have been evicted from the cache since the states of the others were requested.
        return before | self._load_known(part.shard, [group_id for group_id in part.groups if group_id not in before])

    def _load_known(self, shard: int, ids: Sequence[str]) -> dict[str, Known]:
        states = self.retry(partial(self._store.load, self.generation, shard, ids)) if ids else {}
        return {group_id: known(group_id, state) for group_id, state in states.items()}

    def _project(self, part: Part, before: Mapping[str, Known]) -> tuple[Change, list[str | bytes]]:
        change = project(before, part.items, now_text())
        if change.parked and not self._park:
            raise PoisonEvent(describe_poison(change))
        # Fates are counted with the part that advances the positions: a repeated window must not count twice.
        committed = structs.replace(change, tally={}, parked_bytes=Counter())
        if part.advances:
            committed.tally = add_tallies(self._tally.get(part.shard, {}), change.tally)
            committed.parked_bytes = self._parked_bytes[part.shard] + change.parked_bytes
        return change, request(committed, part.advances)

    def _settle(self) -> None:
        """Waits until the part that was sent is stored. Raises FatalError, PositionsLost."""
        in_flight, self._in_flight = self._in_flight, None
        if in_flight is None:
            return
        part, change, outcome = in_flight.part, in_flight.change, self.retry(in_flight.sent.outcome)
        while outcome is Outcome.CHANGED:
            change, sendable = self._project(part, self._load_known(part.shard, list(part.groups)))
            outcome = self.retry(self._store.commit(self.generation, part.shard, sendable).outcome)
        match outcome:
            case Outcome.STORED | Outcome.ALREADY:
                self._shard_positions[part.shard].update((p, advance.stop) for p, advance in part.advances.items())
                self._tally[part.shard] = add_tallies(self._tally.get(part.shard, {}), change.tally)
                self._parked_bytes[part.shard] += change.parked_bytes
                self._cache.put(change.after)
            case Outcome.SEALED:
                raise FatalError(f"generation {self.generation.number} was sealed while it was written")
            case _:
                raise PositionsLost
