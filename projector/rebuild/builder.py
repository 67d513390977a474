"""Folds a stretch of the log into a generation that nobody reads yet.

The live path writes each batch whole, since readers wait for it. Here nobody does, so that a *window* of many more
events is folded in memory first, and each group of it is written once, in parts that one script each takes in. Only
the last part of a window names the position behind it: a builder that dies within a window does it again, and the
fold takes what it has seen before for what it is.
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
from projector.rebuild.parts import PART_GROUPS, Part, Positions, Tally, added, halves, parts, poison
from projector.rebuild.windows import WINDOW_RECORDS, Windows
from projector.retry import Retry
from projector.store.commit import REQUEST_BYTES_MAX, Outcome, request
from projector.store.pending import PendingCommit, PendingLoad
from projector.store.redis import Store
from projector.trail import Trail

# A window of so few is one part, which comes with its position: for a generation that somebody may read.
WHOLE_RECORDS = PART_GROUPS


class Poison(FatalError):
    """An event that the live path would have parked."""


class Lost(Exception):
    """Redis stands elsewhere than we left it: it lost writes, or another process wrote. Its positions tell where."""


class Flight(Struct):
    part: Part
    change: Change
    sent: PendingCommit


class Builder:
    """Of the given partitions alone; several builders may share a generation.

    `park`: what to do with poison. `window`: how many records are folded before they are written.
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
        self._stands: list[dict[Partition, int | None]] = []
        self._trail = Trail(generation.shards)
        self._windows: Windows | None = None
        self._asked: PendingLoad | None = None
        self._flight: Flight | None = None
        # Of each shard, what became of the records of its parts that no position has passed yet.
        self._tally: dict[int, Tally] = {}
        self._parked_bytes: defaultdict[int, Counter[str]] = defaultdict(Counter)

    @property
    def positions(self) -> dict[Partition, int]:
        """What every shard has stored; read from Redis by `advance`."""
        return {p: min(stands[p] or 0 for stands in self._stands) for p in self._partitions}

    def advance(
        self,
        stop: Positions,
        tell: Callable[[], None] = lambda: None,
        touch: Callable[[Collection[str]], None] = lambda ids: None,
    ) -> None:
        """Returns when the generation stands at `stop` exactly, where it did not stand behind it before.

        `touch` is called before each window with its groups, `tell` after it. Raises Poison, LogGap, FatalError.
        """
        strange = [str(partition) for partition in stop if partition not in self._partitions]
        if strange:
            raise FatalError(f"the log has got more partitions, such as {strange[0]}: do it again")
        while True:
            try:
                windows = self._windows = self._windows or self._start()
                while any(offset > self.positions[p] for p, offset in stop.items()):
                    window, reached = windows.take(stop)
                    touch({item.event.group_id for item in window if item.event})
                    self._apply(window, reached, partial(windows.read_on, stop))
                    tell()
                return
            except BaseException as error:
                # Some of a window may be neither stored nor still to be read.
                self.close()
                if not isinstance(error, Lost):
                    raise
                if not self.retry(lambda: self._store.is_open(self.generation)):
                    raise FatalError(f"Redis has lost generation {self.generation.number}: do it again") from None

    def close(self) -> None:
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.sent.discard()
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.discard()
        windows, self._windows = self._windows, None
        if windows is not None:
            windows.close()

    def _start(self) -> Windows:
        self._cache.clear()
        # Before we write: the next start of Redis could misread what is appended to a torn file.
        self.retry(self._store.rewrite_files)
        poison_pills = self.retry(lambda: self._store.poison_pills(self.generation))
        self._stands = []
        for shard in range(self.generation.shards):
            self.retry(partial(self._store.finish, self.generation, shard))
            found = self.retry(partial(self._store.positions_and_anchors, self.generation, shard, self._partitions))
            self._stands.append(self._trail.start(shard, self._partitions, found))
        first = self.retry(self.log.first)
        # What the log no longer has was accepted as lost when this was planned.
        start = {p: max(offset, first[p]) for p, offset in self.positions.items()}
        return Windows(self.log.read(start), poison_pills, self.retry, self._window_records)

    def _apply(self, window: Sequence[Decoded], reached: Positions, read_on: Callable[[int], None]) -> None:
        """While Redis writes a part, the next one is projected, the groups of the one after that are asked for, and as
        much of the log is read on as is written.
        """
        self._tally = {}
        self._parked_bytes.clear()
        cut = parts(self.generation, self._stands, self._trail, window, reached)
        for part, following in zip_longest(cut, cut[1:]):
            states = self._states(part)
            self._asked = self._ask(following) if following else None
            self._write(part, states)
            read_on(sum(map(len, part.groups.values())) + len(part.loose))
        self._settle()

    def _ask(self, part: Part) -> PendingLoad | None:
        """For those of its groups that are not in the cache."""
        missing = [group_id for group_id in part.groups if group_id not in self._cache]
        return self._store.start_load(self.generation, part.shard, missing) if missing else None

    def _states(self, part: Part) -> Mapping[str, bytes | None]:
        """What was asked for before the part before was sent; of the first one, now."""
        self._asked = self._asked or self._ask(part)
        states = self.retry(self._asked.states) if self._asked else {}
        self._asked = None
        return states

    def _write(self, part: Part, states: Mapping[str, bytes | None]) -> None:
        """Projected while the part before is being written, sent when that is stored."""
        if part.advances:
            self._settle()
        change, sendable = self._project(part, self._before(part, states))
        if len(part.groups) > 1 and sum(map(len, sendable)) > REQUEST_BYTES_MAX:
            for half in halves(part):
                # What was known of its groups has been merged into: they are loaded anew.
                self._write(half, {})
            return
        self._settle()
        sent = self._store.commit(self.generation, part.shard, sendable)
        self._flight = Flight(part, change, sent)

    def _before(self, part: Part, states: Mapping[str, bytes | None]) -> dict[str, Known]:
        before = {}
        for group_id in part.groups:
            found = self._cache.take(group_id)
            if found is None and group_id in states:
                found = known(group_id, states[group_id])
            if found is not None:
                before[group_id] = found
        # What was in the cache when the others were asked for, and has been pushed out since.
        return before | self._load_known(part.shard, [group_id for group_id in part.groups if group_id not in before])

    def _load_known(self, shard: int, ids: Sequence[str]) -> dict[str, Known]:
        states = self.retry(partial(self._store.load, self.generation, shard, ids)) if ids else {}
        return {group_id: known(group_id, state) for group_id, state in states.items()}

    def _project(self, part: Part, before: Mapping[str, Known]) -> tuple[Change, list[str | bytes]]:
        change = project(before, part.items, now_text())
        if change.parked and not self._park:
            raise Poison(poison(change))
        # What became of the records counts once a position passes them.
        told = structs.replace(change, tally={}, parked_bytes=Counter())
        if part.advances:
            told.tally = added(self._tally.get(part.shard, {}), change.tally)
            told.parked_bytes = self._parked_bytes[part.shard] + change.parked_bytes
        return change, request(told, part.advances)

    def _settle(self) -> None:
        """Waits until what was sent is stored."""
        flight, self._flight = self._flight, None
        if flight is None:
            return
        part, change, outcome = flight.part, flight.change, self.retry(flight.sent.outcome)
        while outcome is Outcome.CHANGED:
            change, sendable = self._project(part, self._load_known(part.shard, list(part.groups)))
            outcome = self.retry(self._store.commit(self.generation, part.shard, sendable).outcome)
        match outcome:
            case Outcome.STORED | Outcome.ALREADY:
                self._stands[part.shard].update((p, advance.stop) for p, advance in part.advances.items())
                self._tally[part.shard] = added(self._tally.get(part.shard, {}), change.tally)
                self._parked_bytes[part.shard] += change.parked_bytes
                self._cache.put(change.after)
            case Outcome.SEALED:
                raise FatalError(f"generation {self.generation.number} was closed while it was written")
            case _:
                raise Lost
