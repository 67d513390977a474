"""Folds a stretch of the log into a generation that nobody reads yet.

The live path writes each batch whole, since readers wait for it. Here nobody does, so that a *window* of many more
events is folded in memory first, and each group of it is written once, in parts that one script each takes in. Only
the last part of a window names the position behind it: a builder that dies within a window does it again, and the
fold takes what it has seen before for what it is.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Struct, structs

from events.log import Log, Partition, Reader
from projector.cache import Cache
from projector.errors import CannotGoOn
from projector.parked.record import now_text
from projector.project import Change, Decoded, Known, decode_record, known, project
from projector.readmodel.keys import Generation
from projector.rebuild.window import PART_GROUPS, Part, Positions, Tally, added, halves, parts, poison, slices
from projector.store.commit import REQUEST_BYTES_MAX, Outcome, request
from projector.store.redis import Store
from projector.store.sent import Sent

# How many records, or bytes of them, are folded before they are written.
WINDOW_RECORDS = 20_000
WINDOW_BYTES = 32 * 1024 * 1024
# A window of so few is one part, which comes with its position: for a generation that somebody may read.
WHOLE_RECORDS = PART_GROUPS
# How many states one call loads.
LOAD_GROUPS = 500
# How long one poll waits for records, in seconds.
POLL_S = 0.2
POLL_RECORDS = 5_000

# Returns what the call returns, however often it has to be made.
Insist = Callable[[Callable[[], Any]], Any]


class Poison(CannotGoOn):
    """An event that the live path would have parked."""


class Lost(Exception):
    """Redis stands elsewhere than we left it: it lost writes, or another process wrote. Its positions tell where."""


class Flight(Struct):
    part: Part
    change: Change
    sent: Sent


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
        insist: Insist,
        park: bool = False,
        window: int = WINDOW_RECORDS,
    ) -> None:
        self.generation = generation
        self.log = log
        self._store = store
        self._partitions = partitions
        self.insist = insist
        self._park = park
        self._window_records = window
        self._cache = Cache()
        self._stands: list[dict[Partition, int | None]] = []
        self._reader: Reader | None = None
        self._flight: Flight | None = None
        self._tally: Tally = {}
        self._deadly: frozenset[str] = frozenset()

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

        `touch` is called before each window with its groups, `tell` after it. Raises Poison, LogGap, CannotGoOn.
        """
        strange = [str(partition) for partition in stop if partition not in self._partitions]
        if strange:
            raise CannotGoOn(f"the log has got more partitions, such as {strange[0]}: do it again")
        while True:
            try:
                if self._reader is None:
                    self._start()
                while any(offset > self.positions[p] for p, offset in stop.items()):
                    window, reached = self._window(stop)
                    ids = {item.event.group_id for item in window if item.event}
                    touch(ids)
                    self._apply(window, reached, self._load(ids))
                    tell()
                return
            except Lost:
                self.close()
                if not self.insist(lambda: self._store.is_open(self.generation)):
                    raise CannotGoOn(f"Redis has lost generation {self.generation.number}: do it again") from None

    def close(self) -> None:
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.sent.discard()
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _start(self) -> None:
        self._cache.clear()
        self._deadly = self.insist(lambda: self._store.deadly(self.generation))
        self._stands = []
        for shard in range(self.generation.shards):
            found = self.insist(partial(self._store.positions, self.generation, shard, self._partitions))
            self._stands.append(dict(zip(self._partitions, found, strict=True)))
        first = self.insist(self.log.first)
        # What the log no longer has was accepted as lost when this was planned.
        start = {p: max(offset, first[p]) for p, offset in self.positions.items()}
        self._reader = self.log.read(start)

    def _window(self, stop: Positions) -> tuple[list[Decoded], Positions]:
        """The next events, and the positions behind them."""
        reader = self._reader
        assert reader is not None, "started"
        window: list[Decoded] = []
        size = 0
        while (room := self._window_records - len(window)) > 0 and size < WINDOW_BYTES:
            records = self.insist(partial(reader.poll, POLL_S, min(POLL_RECORDS, room), stop))
            window += [decode_record(record, self._deadly) for record in records]
            size += sum(len(record.value or b"") for record in records)
            if not records:
                break
        return window, dict(reader.positions)

    def _apply(self, window: Sequence[Decoded], reached: Positions, states: Mapping[str, bytes | None]) -> None:
        for shard in range(self.generation.shards):
            self._tally = {}
            for part in parts(self.generation, shard, self._stands[shard], window, reached):
                self._write(part, states)
            self._settle()

    def _load(self, ids: Collection[str]) -> dict[str, bytes | None]:
        """Of the groups that are not in the cache."""
        missing: dict[int, list[str]] = {}
        for group_id in ids:
            if group_id not in self._cache:
                missing.setdefault(self.generation.shard_of(group_id), []).append(group_id)
        states: dict[str, bytes | None] = {}
        for shard, wanted in missing.items():
            for some in slices(wanted, LOAD_GROUPS):
                states |= self.insist(partial(self._store.load, self.generation, shard, some))
        return states

    def _write(self, part: Part, states: Mapping[str, bytes | None]) -> None:
        """Projected while the part before is being written, sent when that is stored."""
        if part.advances:
            self._settle()
        change, sendable = self._project(part, self._before(part, states))
        if len(part.groups) > 1 and sum(map(len, sendable)) > REQUEST_BYTES_MAX:
            for half in halves(part):
                # What was known of its groups has been merged into.
                self._write(half, self._load(half.groups))
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
        # What was in the cache when the window was loaded, and has been pushed out since.
        return before | self._load_known(part.shard, [group_id for group_id in part.groups if group_id not in before])

    def _load_known(self, shard: int, ids: Sequence[str]) -> dict[str, Known]:
        states = self.insist(partial(self._store.load, self.generation, shard, ids)) if ids else {}
        return {group_id: known(group_id, state) for group_id, state in states.items()}

    def _project(self, part: Part, before: Mapping[str, Known]) -> tuple[Change, list[str | bytes]]:
        change = project(before, part.items, now_text())
        if change.parked and not self._park:
            raise Poison(poison(change))
        # What became of the records counts once a position passes them.
        sent = structs.replace(change, tally=added(self._tally, change.tally) if part.advances else {})
        return change, request(sent, part.advances)

    def _settle(self) -> None:
        """Waits until what was sent is stored."""
        flight, self._flight = self._flight, None
        if flight is None:
            return
        part, change, outcome = flight.part, flight.change, self.insist(flight.sent.outcome)
        while outcome is Outcome.CHANGED:
            change, sendable = self._project(part, self._load_known(part.shard, list(part.groups)))
            outcome = self.insist(self._store.commit(self.generation, part.shard, sendable).outcome)
        match outcome:
            case Outcome.STORED | Outcome.ALREADY:
                self._stands[part.shard].update((p, advance.stop) for p, advance in part.advances.items())
                self._tally = added(self._tally, change.tally)
                self._cache.put(change.after)
            case Outcome.SEALED:
                raise CannotGoOn(f"generation {self.generation.number} was closed while it was written")
            case _:
                raise Lost
