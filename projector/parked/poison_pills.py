"""Finds a poison pill: an event that kills the process that decodes it, by memory exhaustion or a fault in a library.

Each process marks the partitions it reads, and removes the marks on a clean exit. A process that finds a mark takes one
event at a time, and marks each before decoding it, until it has passed all events that the dead process can have had in
its pipeline. An event at which two processes in a row have died is parked without decoding, and replays do not decode
it either. So at most three restarts are needed. A process killed for other reasons costs its successor a second, and
parks nothing unless that happens twice at the same event.

Here a poison pill becomes a Decoded with a problem. `project` (projector/project.py) makes its parked record, as of any
event that breaks the contract.
"""

import secrets
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from typing import cast

import msgspec
import structlog
from msgspec import Struct, field

from events.logs.log import Partition, Record
from projector.batches import BATCH_RECORDS_MAX
from projector.project import Decoded, decode_record
from projector.readmodel.schema.generations import STARTED
from projector.readmodel.schema.keys import Generation
from projector.retry import Retry
from projector.store.redis import Store

# How many events of a partition can have been in the pipeline when a process died: it overlaps three batches.
UNDER_WAY_RECORDS = 3 * BATCH_RECORDS_MAX
# Deaths in a row at the same event that make it a poison pill.
DEATHS = 2

log = structlog.get_logger("projector")


class Mark(Struct, frozen=True):
    """Stored per partition. `process`: a random id. `offset`: the event that it was about to decode, where it took one
    at a time; `deaths`: processes that have died at that event, including this one if it dies.
    """

    process: str = field(name="who")
    offset: int | None = None
    deaths: int = 0


class PoisonPills:
    """Methods raise what `retry` raises."""

    def __init__(self, store: Store, retry: Retry) -> None:
        self._store = store
        self._retry = retry
        self._process = secrets.token_hex(8)
        self._started: set[Partition] = set()
        # The offset until which one event at a time is taken.
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
            if mark is not None and mark.process != self._process:
                self._until[partition] = offset + UNDER_WAY_RECORDS
                self._last[partition] = mark
                log.info("one event at a time: the previous reader exited uncleanly", at=str(partition))
            # Keep the mark of an event until it is reached again.
            self._mark(partition, mark if mark and mark.offset is not None and mark.offset >= offset else None)
        self._started.update(positions)

    def decode(
        self, batch: Sequence[Record], flush: Callable[[], None], paused: Container[Partition] = ()
    ) -> Iterator[Sequence[Decoded]]:
        """Yields the batch, or single events. After a single event it calls `flush`, which returns when all is stored.

        Records of `paused` partitions are skipped.
        """
        if not self._until:
            yield [self._decode(record) for record in batch]
            return
        for record in batch:
            if record.partition in paused:
                continue
            until = self._until.get(record.partition)
            if until is None:
                yield [self._decode(record)]
            elif record.offset >= until:
                del self._until[record.partition]
                self._mark(record.partition, None)
                yield [self._decode(record)]
            else:
                yield [self._decode_marked(record)]
                flush()

    def clear(self, partition: Partition) -> None:
        """Clears the event's mark: its partition pauses, so that decoding has succeeded but the event is not stored."""
        if partition in self._until:
            self._last.pop(partition, None)
            self._mark(partition, None)

    def end(self) -> None:
        """Removes all marks on a clean exit."""
        self.revoke(self._started)

    def revoke(self, partitions: Collection[Partition]) -> None:
        """Removes our marks."""
        mine = [partition for partition, mark in self._marks(partitions).items() if mark.process == self._process]
        self._started = self._started.difference(partitions)
        for partition in partitions:
            self._until.pop(partition, None)
        if mine:
            names = [str(partition) for partition in mine]
            self._retry(lambda: self._store.nodes.write_even_if_full(STARTED, "HDEL", STARTED, *names))

    def _decode_marked(self, record: Record) -> Decoded:
        last = self._last.get(record.partition)
        deaths = last.deaths if last is not None and last.offset == record.offset else 0
        if deaths >= DEATHS:
            log.error("parked a poison pill: the process died decoding it", position=str(record), deaths=deaths)
            self._poison_pills |= {str(record)}
            self._retry(lambda: self._store.note_poison_pills("SADD", self._generation, [str(record)]))
        else:
            self._mark(record.partition, Mark(self._process, record.offset, deaths + 1))
        return self._decode(record)

    def _decode(self, record: Record) -> Decoded:
        return decode_record(record, self._poison_pills, personal_data=self._generation.personal_data)

    def _mark(self, partition: Partition, mark: Mark | None) -> None:
        ours = Mark(self._process) if mark is None else Mark(self._process, mark.offset, mark.deaths)
        stored = msgspec.json.encode(ours)
        self._retry(lambda: self._store.nodes.write_even_if_full(STARTED, "HSET", STARTED, str(partition), stored))

    def _marks(self, partitions: Collection[Partition]) -> dict[Partition, Mark]:
        names = list(partitions)
        found = self._retry(lambda: self._read([str(one) for one in names])) if names else []
        return {
            partition: msgspec.json.decode(stored, type=Mark)
            for partition, stored in zip(names, found, strict=True)
            if stored is not None
        }

    def _read(self, names: list[str]) -> list[bytes | None]:
        with self._store.nodes.errors():
            return cast(list[bytes | None], self._store.nodes.of(STARTED).hmget(STARTED, names))
