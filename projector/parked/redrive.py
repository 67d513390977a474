"""Redrives or discards parked records.

A redrive decodes parked records with the current code, and folds the good ones into the live generation. The fold does
not depend on order, so no position is needed, and none is moved. One script stores the fold and removes the records
from the parked ones, so each is applied once; after a crash, run the redrive again. Only a record that is parked in
another shard than its group's takes two scripts: first the fold, which may be repeated, then the removal.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct, field, structs

from events.errors import InvalidEvent
from events.logs.log import Log
from projector.errors import FatalError
from projector.parked.listing import Entry, read
from projector.parked.record import Parked, counted, decode, encode, from_log, now_text
from projector.project import Change, Decoded, decode_record, group_ids, project
from projector.readmodel.schema.keys import Generation
from projector.readmodel.schema.tally import Fate
from projector.store.commit import Outcome
from projector.store.redis import Store
from projector.store.request import REQUEST_BYTES_MAX, request

# Records, and bytes of them as stored, that are redriven or discarded together.
PORTION_RECORDS = 100
PORTION_BYTES = 512 * 1024


class Redriven(Struct):
    """Counts by result. `parked`: position -> why it is still parked. `gone`: others redrove or discarded them."""

    applied: int = 0
    stale: int = 0
    passed_over: int = 0
    gone: int = 0
    parked: dict[str, str] = field(default_factory=dict)


def redrive(
    store: Store,
    generation: Generation,
    entries: Sequence[Entry],
    report: Callable[[int], None] = lambda done: None,
    log: Log | None = None,
) -> Redriven:
    """`report` receives the number of records done so far. After an error, records done before stay done.

    `log`: needed for a generation without personal data, which keeps no payload of parked records.
    Raises StoreUnavailable, FatalError where the generation is not open, and what the log raises.
    """
    redriver, done = _Redriver(store, generation, log), 0
    for shard, positions in portions(entries):
        redriver.redrive(shard, positions)
        # Decoding them did not kill the process: they are no poison pills.
        store.note_poison_pills("SREM", generation, positions)
        done += len(positions)
        report(done)
    return redriver.found


def preview(
    store: Store, generation: Generation, entries: Sequence[Entry], log: Log | None = None
) -> dict[str, str | None]:
    """Returns why each record would stay parked; None where a redrive would apply it, unless its group is full.

    Changes nothing. `log`, and what it raises: as for `redrive`.
    """
    redriver, found = _Redriver(store, generation, log), dict[str, str | None]()
    for shard, positions in portions(entries):
        for position, one in read(store, generation, shard, positions).items():
            # What may kill this process is not tried.
            problem = None if one.reason.startswith("kills_process") else redriver.decode(one).problem
            found[position] = str(problem) if problem else None
    return found


def discard(store: Store, generation: Generation, entries: Sequence[Entry]) -> list[str]:
    """Returns the positions of those that were still parked. Raises as `redrive`."""
    discarded: list[str] = []
    for shard, some in portions(entries):
        while found := read(store, generation, shard, some):
            change = Change(unparked=list(found))
            change.discarded = {position: _discarded(parked) for position, parked in found.items()}
            for partition, count in _by_partition(found.values()).items():
                change.tally[partition] = {Fate.DISCARDED: count, Fate.PARKED: -count}
            change.parked_bytes.subtract(_bytes_by_partition(found.values()))
            sent = store.commit(generation, shard, request(change, {}), even_if_full=True)
            if _checked(generation, sent.outcome()) is Outcome.STORED:
                discarded += found
                break
    return discarded


def portions(entries: Sequence[Entry]) -> Iterator[tuple[int, list[str]]]:
    """Yields shard and positions. Poison pills come last, so that the others are done if one kills us."""
    portion_of: dict[int, tuple[list[str], int]] = {}
    for entry in sorted(entries, key=lambda entry: entry.reason.startswith("kills_process")):
        positions, size = portion_of.pop(entry.shard, ([], 0))
        if positions and (len(positions) == PORTION_RECORDS or size + entry.bytes > PORTION_BYTES):
            yield entry.shard, positions
            positions, size = [], 0
        portion_of[entry.shard] = [*positions, entry.position], size + entry.bytes
    yield from ((shard, positions) for shard, (positions, _) in portion_of.items())


class _Redriver:
    def __init__(self, store: Store, generation: Generation, log: Log | None) -> None:
        self._store = store
        self._generation = generation
        self._log = log
        self.found = Redriven()

    def redrive(self, home: int, positions: Sequence[str]) -> None:
        """`home`: the shard in which the records are parked."""
        parked = read(self._store, self._generation, home, positions)
        self.found.gone += len(positions) - len(parked)
        by_shard: dict[int, list[Decoded]] = {}
        for one in parked.values():
            item = self.decode(one)
            shard = self._generation.shard_of(item.event.group_id) if item.event else home
            by_shard.setdefault(shard, []).append(item)
        for shard, items in by_shard.items():
            self._apply(home, shard, items)

    def decode(self, parked: Parked) -> Decoded:
        found = from_log(parked, self._log) if self._log else parked
        if found is None:
            return Decoded(
                parked.record, None, InvalidEvent("$", "the log no longer has the event"), with_payload=False
            )
        return decode_record(found.record, personal_data=self._generation.personal_data)

    def _apply(self, home: int, shard: int, items: list[Decoded]) -> None:
        """Repeats until each record is folded, parked again, or gone."""
        while items:
            parked = read(self._store, self._generation, home, [str(item.record) for item in items])
            self.found.gone += len(items) - len(parked)
            items = [item for item in items if str(item.record) in parked]
            if not items:
                return
            stored = self._store.load(self._generation, shard, ids) if (ids := group_ids(items)) else {}
            folded = project(self._store.known(self._generation, shard, stored), items)
            change = _unparked(folded, parked)
            sendable = request(change, {})
            if len(items) > 1 and sum(map(len, sendable)) > REQUEST_BYTES_MAX:
                middle = len(items) // 2
                self._apply(home, shard, items[:middle])
                items = items[middle:]
            elif self._store_it(home, shard, change, sendable):
                self._count(change)
                return

    def _store_it(self, home: int, shard: int, change: Change, sendable: list[str | bytes]) -> bool:
        """Returns False where a group or a parked record changed meanwhile: fold again."""
        if shard == home:
            return _commit(self._store, self._generation, home, sendable) is Outcome.STORED
        fold = structs.replace(change, unparked=[], parked={}, tally={}, parked_bytes=Counter())
        if fold.records and _commit(self._store, self._generation, shard, request(fold, {})) is not Outcome.STORED:
            return False
        kept = Change(
            unparked=change.unparked, parked=change.parked, tally=change.tally, parked_bytes=change.parked_bytes
        )
        return _commit(self._store, self._generation, home, request(kept, {})) is Outcome.STORED

    def _count(self, change: Change) -> None:
        for fates in change.tally.values():
            self.found.applied += fates[Fate.APPLIED]
            self.found.stale += fates[Fate.STALE]
            self.found.passed_over += fates[Fate.PASSED_OVER]
        self.found.parked |= {position: decode(position, stored).reason for position, stored in change.parked.items()}


def _unparked(folded: Change, before: Mapping[str, Parked]) -> Change:
    """Returns the change that also removes the records from the parked ones, except those that stay parked."""
    stay = {}
    more = Counter[str]()
    more.subtract(_bytes_by_partition(before.values()))
    for position, stored in folded.parked.items():
        reason, old = decode(position, stored).reason, before[position]
        stay[position] = encode(structs.replace(old, reason=reason, attempts=old.attempts + 1))
        more[old.partition_name] += counted(stay[position])
    tally = {}
    for partition, fates in folded.tally.items():
        left = sum(fates.values()) - fates[Fate.PARKED]
        tally[partition] = {**fates, Fate.PARKED: -left}
    return structs.replace(
        folded, parked=stay, unparked=list(before), tally=tally, parked_bytes=more, redriven=bool(folded.records)
    )


def _discarded(parked: Parked) -> bytes:
    """Returns what Redis keeps of a discarded record: its contents are still in the log."""
    kept = {"time": parked.time, "parked_at": parked.parked_at, "attempts": parked.attempts, "discarded_at": now_text()}
    return msgspec.json.encode({"reason": parked.reason, **kept})


def _bytes_by_partition(found: Iterable[Parked]) -> "Counter[str]":
    sizes = Counter[str]()
    for parked in found:
        sizes[parked.partition_name] += parked.counted
    return sizes


def _by_partition(found: Iterable[Parked]) -> Mapping[str, int]:
    return Counter(parked.partition_name for parked in found)


def _commit(store: Store, generation: Generation, shard: int, sendable: list[str | bytes]) -> Outcome:
    outcome = store.commit(generation, shard, sendable).outcome()
    if outcome is Outcome.TAKEN:
        store.ordinals.drop(generation, shard)
    return _checked(generation, outcome)


def _checked(generation: Generation, outcome: Outcome) -> Outcome:
    """Raises FatalError where the generation is closed or lost."""
    match outcome:
        case Outcome.STORED | Outcome.CHANGED | Outcome.TAKEN | Outcome.ALREADY:
            return outcome
        case Outcome.SEALED:
            raise FatalError(f"generation {generation.number} is being replaced: try again once its successor is live")
        case _:
            raise FatalError(
                f"Redis has lost generation {generation.number}: try again once the projector has rebuilt it"
            )
