"""The loop: poll, decode, load, project, commit, steer. It decides nothing that `project` or Redis could decide."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import structlog
from msgspec import Struct

from events.errors import LogGap, LogUnavailable
from events.log import Log, Loss, Partition, Position, Record, Subscription
from projector.cache import Cache
from projector.errors import CannotGoOn, StoreUnavailable
from projector.patience import PAUSE_MAX_S, Stopped, insist
from projector.project import Decoded, Known, decode_record, group_ids, known, project
from projector.readmodel.document import VERSION
from projector.readmodel.keys import Generation
from projector.store.commit import REQUEST_BYTES_MAX, Advance, Outcome, request
from projector.store.redis import Sent, Store

# How many records one commit takes; with more, its script would hold Redis for over 5 ms.
BATCH_RECORDS_MAX = 500
# How many bytes of records one commit takes. What is written grows with what is read.
BATCH_BYTES_MAX = 512 * 1024
# How long one poll waits for records, in seconds; also how soon a stop is noticed.
POLL_S = 0.2
# How often the log is told how far we are, and Redis how far the log goes, in seconds.
MARK_EVERY_S = 1.0

T = TypeVar("T")
log = structlog.get_logger("projector")


class Rewind(Exception):
    """What was polled does not fit what Redis has: read its positions again, and go on from there."""


class Rejoin(Exception):
    """Another process has written our partition: give up what we hold, and ask the log anew what is ours."""


class TooMuch(Exception):
    """The batch changes more bytes than one commit may: apply its halves."""


class Flight(Struct):
    """A batch on its way to one shard; `after`: what is known of its groups once it is stored."""

    shard: int
    items: Sequence[Decoded]
    advances: Mapping[Partition, Advance]
    after: Mapping[str, Known]
    sent: Sent


class Projector:
    """Folds one log into the live generation, as one member of the group that shares the partitions."""

    def __init__(
        self, source: Log, store: Store, stop: threading.Event, accept_loss: frozenset[Loss] = frozenset()
    ) -> None:
        self._log = source
        self._store = store
        self._stop = stop
        self._accept_loss = accept_loss
        self._cache = Cache()
        self._generation = Generation(0, 1, VERSION)
        # For each shard, where it stands; None where nothing of the partition has been applied yet.
        self._stands: list[dict[Partition, int | None]] = []
        self._flights: list[Flight] = []
        self._marked_at_s = 0.0

    def run(self) -> None:
        """Until `stop` is set. Makes the log if there is none. Raises CannotGoOn, LogGap."""
        try:
            if self._insist(self._log.create):
                log.info("made the log, to keep every event for ever", topic=self._log.topic)
            self._check_losses()
            self._open_generation()
            while not self._stop.is_set():
                self._take_part()
        except Stopped:
            log.info("stopped while the log or Redis was away", lost="nothing: the log has it")

    def _take_part(self) -> None:
        """As one member of the group, until asked to stop or to join anew."""
        subscription = self._log.subscribe()
        try:
            while not self._stop.is_set():
                self._step(subscription)
            self._drain()
            self._mark(subscription)
        except Rejoin:
            self._open_generation()
        finally:
            subscription.close()

    def _check_losses(self) -> None:
        losses = self._insist(self._log.losses)
        for loss, sentence in losses.items():
            if loss not in self._accept_loss:
                raise CannotGoOn(f"{sentence}; change that, or accept it with --accept-loss {loss}")

    def _open_generation(self) -> None:
        self._generation = self._insist(self._store.generation)
        self._stands = [{} for _ in range(self._generation.shards)]
        self._flights = []
        self._cache.clear()

    def _step(self, subscription: Subscription) -> None:
        """While Redis works on one batch, the next is read and decoded."""
        polled = self._insist(lambda: subscription.poll(POLL_S, BATCH_RECORDS_MAX))
        try:
            if polled.assigned or not polled.records:
                self._settle()
            self._start(subscription, polled.assigned)
            for batch in batches(polled.records):
                decoded = [decode_record(record) for record in batch]
                self._settle()
                self._apply(decoded)
        except Rewind:
            partitions = list(self._stands[0])
            self._open_generation()
            self._start(subscription, partitions)
        if time.monotonic() - self._marked_at_s >= MARK_EVERY_S:
            self._mark(subscription)

    def _mark(self, subscription: Subscription) -> None:
        """Tells the log how far we are, and Redis how far the log goes. Nothing depends on either."""
        self._marked_at_s = time.monotonic()
        subscription.mark({partition: self._lowest(partition) for partition in self._stands[0]})
        with suppress(LogUnavailable, StoreUnavailable):
            self._store.tell_end(self._generation, self._log.end())

    def _start(self, subscription: Subscription, partitions: Sequence[Partition]) -> None:
        """Where Redis stands is where we go on reading."""
        if not partitions:
            return
        for shard, stands in enumerate(self._stands):
            positions = self._insist(partial(self._store.positions, self._generation, shard, partitions))
            stands.update(zip(partitions, positions, strict=True))
        first, end = self._insist(self._log.first), self._insist(self._log.end)
        for partition in partitions:
            offset = self._lowest(partition)
            if offset > end[partition]:
                raise LogGap(
                    f"Redis has applied {partition} up to {offset}, but the log ends at {end[partition]}: it was "
                    "truncated or made anew. Clear Redis to rebuild the read model from the log as it is now"
                )
            if offset < first[partition] and Loss.RETENTION not in self._accept_loss:
                raise LogGap(
                    f"{partition} is needed from {offset} on, but the log begins at {first[partition]}: the events "
                    f"between are gone; accept that with --accept-loss {Loss.RETENTION}"
                )
            offset = max(offset, first[partition])
            log.info("reading", partition=str(partition), position=offset, end=end[partition])
            subscription.seek(Position(partition, offset))

    def _lowest(self, partition: Partition) -> int:
        return min(stands[partition] or 0 for stands in self._stands)

    def _apply(self, decoded: Sequence[Decoded]) -> None:
        """Sends the batch on its way to every shard that has not had it."""
        try:
            for shard in range(self._generation.shards):
                self._send(shard, decoded)
        except TooMuch:
            for half in (decoded[: len(decoded) // 2], decoded[len(decoded) // 2 :]):
                self._settle()
                self._apply(half)

    def _send(self, shard: int, decoded: Sequence[Decoded]) -> None:
        stands = self._stands[shard]
        stops = {item.record.partition: item.record.offset + 1 for item in decoded}
        advances = {
            partition: Advance(stands[partition], stop)
            for partition, stop in stops.items()
            if stop > (stands[partition] or 0)
        }
        if advances:
            self._flights.append(self._flight(shard, self._share(shard, decoded), advances))

    def _flight(self, shard: int, items: Sequence[Decoded], advances: Mapping[Partition, Advance]) -> Flight:
        change = project(self._known(shard, items), items)
        sent = request(change, advances)
        if len(items) > 1 and sum(map(len, sent)) > REQUEST_BYTES_MAX:
            raise TooMuch
        return Flight(shard, items, advances, change.after, self._store.commit(self._generation, shard, sent))

    def _drain(self) -> None:
        """Before an orderly end. What Redis has lost, or another process has done, the next start will see."""
        with suppress(Rewind, Rejoin):
            self._settle()

    def _settle(self) -> None:
        """Waits until what was sent is stored. Raises Rewind or Rejoin where it cannot be."""
        flights, self._flights = self._flights, []
        for flight in flights:
            outcome = self._insist(flight.sent.outcome)
            while outcome is Outcome.CHANGED:
                flight = self._flight(flight.shard, flight.items, flight.advances)
                outcome = self._insist(flight.sent.outcome)
            self._steer(flight, outcome)

    def _steer(self, flight: Flight, outcome: Outcome) -> None:
        match outcome:
            case Outcome.STORED | Outcome.ALREADY:
                stops = ((partition, advance.stop) for partition, advance in flight.advances.items())
                self._stands[flight.shard].update(stops)
                self._cache.put(flight.after)
            case Outcome.BEHIND:
                log.warning("Redis has lost writes: reading the log again from where it stands", shard=flight.shard)
                raise Rewind
            case Outcome.AHEAD:
                log.warning("another process applied our partitions: asking anew which are ours", shard=flight.shard)
                raise Rejoin
            case Outcome.SEALED:
                log.info("the generation is closed: looking for the live one", generation=self._generation.number)
                self._stop.wait(PAUSE_MAX_S)
                raise Rewind

    def _share(self, shard: int, decoded: Sequence[Decoded]) -> list[Decoded]:
        """Records without a group are counted, and parked, in shard 0. A shard that is ahead has had its share."""
        stands = self._stands[shard]
        fresh = [item for item in decoded if item.record.offset >= (stands[item.record.partition] or 0)]
        if self._generation.shards == 1:
            return fresh
        shard_of = self._generation.shard_of
        return [item for item in fresh if (shard_of(item.event.group_id) if item.event else 0) == shard]

    def _known(self, shard: int, items: Sequence[Decoded]) -> dict[str, Known]:
        ids = group_ids(items)
        cached = {group_id: self._cache.take(group_id) for group_id in ids}
        missing = [group_id for group_id, found in cached.items() if found is None]
        if missing:
            states = self._insist(lambda: self._store.load(self._generation, shard, missing))
            cached.update((group_id, known(group_id, state)) for group_id, state in states.items())
        return {group_id: found for group_id, found in cached.items() if found is not None}

    def _insist(self, call: Callable[[], T]) -> T:
        return insist(self._stop, call)


def batches(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """Cuts by count and bytes; a larger record comes alone."""
    start, size = 0, 0
    for i, record in enumerate(records):
        length = len(record.value or b"")
        if i > start and (i - start >= BATCH_RECORDS_MAX or size + length > BATCH_BYTES_MAX):
            yield records[start:i]
            start, size = i, 0
        size += length
    if start < len(records):
        yield records[start:]
