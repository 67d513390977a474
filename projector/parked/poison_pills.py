"""Finds the one event that kills the process that reads it: out of memory, or a fault in a library.

Each process marks the partitions it reads, and takes the mark away when it ends in an orderly way. Who finds a mark
takes one event at a time, marked before it is touched, until all is behind that can have been under way. An event at
which two processes in a row have died is parked untouched, and replays do not touch it. So at most three restarts
are needed; a process that is killed for other reasons costs the next one a second, and parks nothing unless it happens
twice at the same event.
"""

import secrets
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from typing import cast

import msgspec
import structlog
from msgspec import Struct

from events.logs.log import Partition, Record
from projector.batches import BATCH_RECORDS_MAX
from projector.project import Decoded, decode_record
from projector.readmodel.schema.generations import STARTED
from projector.readmodel.schema.keys import Generation
from projector.retry import Retry
from projector.store.redis import Store

# How many events of a partition can have been under way when a process died: the pipeline has three batches.
UNDER_WAY_RECORDS = 3 * BATCH_RECORDS_MAX
# At how many starts in a row an event has to be the last that was touched.
DEATHS = 2

log = structlog.get_logger("projector")


class Mark(Struct, frozen=True):
    """`who`: the process. `offset`: the event that it was about to touch, if one at a time, and `deaths` before."""

    who: str
    offset: int | None = None
    deaths: int = 0


class PoisonPills:
    """`retry` calls until there is an answer."""

    def __init__(self, store: Store, retry: Retry) -> None:
        self._store = store
        self._retry = retry
        self._who = secrets.token_hex(8)
        self._started: set[Partition] = set()
        # Until which offset one event at a time is taken.
        self._until: dict[Partition, int] = {}
        self._last: dict[Partition, Mark] = {}
        self._poison_pills: frozenset[str] = frozenset()
        self._generation: Generation

    def start(self, generation: Generation, positions: Mapping[Partition, int]) -> None:
        self._generation = generation
        self._poison_pills = self._retry(lambda: self._store.poison_pills(generation))
        found = self._marks(positions)
        for partition, offset in positions.items():
            mark = found.get(partition)
            if mark is not None and mark.who != self._who:
                self._until[partition] = offset + UNDER_WAY_RECORDS
                self._last[partition] = mark
                log.info("one event at a time, for whoever read it before has not said farewell", at=str(partition))
            # It must not be forgotten before it is reached again.
            self._mark(partition, mark if mark and mark.offset is not None and mark.offset >= offset else None)
        self._started.update(positions)

    def decode(
        self, batch: Sequence[Record], flush: Callable[[], None], paused: Container[Partition] = ()
    ) -> Iterator[Sequence[Decoded]]:
        """The batch at once, or one by one; then `flush`, which returns when all is stored, is called for each.

        What is `paused` is not touched.
        """
        if not self._until:
            yield [decode_record(record, self._poison_pills) for record in batch]
            return
        for record in batch:
            if record.partition in paused:
                continue
            until = self._until.get(record.partition)
            if until is None:
                yield [decode_record(record, self._poison_pills)]
            elif record.offset >= until:
                del self._until[record.partition]
                self._mark(record.partition, None)
                yield [decode_record(record, self._poison_pills)]
            else:
                yield [self._touch(record)]
                flush()

    def acquit(self, partition: Partition) -> None:
        """What was touched last has been survived, although it was not applied: its partition waits."""
        if partition in self._until:
            self._last.pop(partition, None)
            self._mark(partition, None)

    def end(self) -> None:
        """In an orderly way."""
        self.leave(self._started)

    def leave(self, partitions: Collection[Partition]) -> None:
        """Whoever reads them next need not be careful."""
        mine = [partition for partition, mark in self._marks(partitions).items() if mark.who == self._who]
        self._started = self._started.difference(partitions)
        for partition in partitions:
            self._until.pop(partition, None)
        if mine:
            names = [str(partition) for partition in mine]
            self._retry(lambda: self._store.nodes.keep_book(STARTED, "HDEL", STARTED, *names))

    def _touch(self, record: Record) -> Decoded:
        last = self._last.get(record.partition)
        deaths = last.deaths if last is not None and last.offset == record.offset else 0
        if deaths >= DEATHS:
            log.error("parked: the process died of it", position=str(record), times=deaths)
            self._poison_pills |= {str(record)}
            self._retry(lambda: self._store.keep_deadly("SADD", self._generation, [str(record)]))
        else:
            self._mark(record.partition, Mark(self._who, record.offset, deaths + 1))
        return decode_record(record, self._poison_pills)

    def _mark(self, partition: Partition, mark: Mark | None) -> None:
        told = msgspec.json.encode(Mark(self._who) if mark is None else Mark(self._who, mark.offset, mark.deaths))
        self._retry(lambda: self._store.nodes.keep_book(STARTED, "HSET", STARTED, str(partition), told))

    def _marks(self, partitions: Collection[Partition]) -> dict[Partition, Mark]:
        names = list(partitions)
        found = self._retry(lambda: self._read([str(one) for one in names])) if names else []
        return {
            partition: msgspec.json.decode(told, type=Mark)
            for partition, told in zip(names, found, strict=True)
            if told is not None
        }

    def _read(self, names: list[str]) -> list[bytes | None]:
        with self._store.nodes.errors():
            return cast(list[bytes | None], self._store.nodes.of(STARTED).hmget(STARTED, names))
