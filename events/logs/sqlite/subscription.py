"""A subscription to a log in an SQLite file."""

import time
from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING

from events.errors import LogGap
from events.logs.log import Partition, Polled, Position, Record

if TYPE_CHECKING:
    from events.logs.sqlite.log import SqliteLog

# How often a reader at the end polls the file, in seconds. SQLite cannot notify other processes.
POLL_EVERY_S = 0.01


class SqliteSubscription:
    """The single partition is always ours. A second projector on the file is detected by its commits to Redis."""

    def __init__(self, log: "SqliteLog", partition: Partition) -> None:
        self._log = log
        self._partition = partition
        self._next: int | None = None
        self._is_paused = False
        self._file = (0, 0)
        # The record just before `_next`, read when `_next` was set.
        self._before: Record | None = None

    def poll(self, timeout_s: float, max_records: int) -> Polled:
        if self._next is None:
            return Polled([self._partition], [])
        deadline = time.monotonic() + timeout_s
        while True:
            records: Sequence[Record] = []
            is_last_read = time.monotonic() >= deadline
            if not self._is_paused:
                before, records = self._read(self._next, max_records)
                if self._log.file != self._file:
                    raise LogGap(f"the log at {self._log.path} was deleted and created again while it was read")
                # Offsets have no gaps here: a gap means that the log no longer has the next records.
                if records[0].offset != self._next if records else is_last_read:
                    self._log.check(Position(self._partition, self._next))
                if before != self._before:
                    self._before = before
                    return Polled([], [], interrupted=True)
            if records:
                self._before = records[-1]
                self._next = records[-1].offset + 1
                return Polled([], records)
            if is_last_read:
                return Polled([], [])
            time.sleep(POLL_EVERY_S)

    def _read(self, start: int, count: int) -> tuple[Record | None, Sequence[Record]]:
        """Returns the record just before `start`, and those from `start` on, of one snapshot. The former differs if a
        backup was restored into the file.
        """
        records = self._log.records(start - 1, count + 1)
        if records and records[0].offset < start:
            return records[0], records[1:]
        return None, records[:count]

    def seek(self, position: Position) -> None:
        self._log.check(position)
        self._file = self._log.file
        self._before, _ = self._read(position.offset, 0)
        self._next = position.offset
        self._is_paused = False

    def pause(self, partition: Partition) -> None:
        self._is_paused = True

    def mark(self, positions: Mapping[Partition, int]) -> None:
        """Does nothing: no tool monitors the lag of an SQLite file."""

    def owned(self) -> Set[Partition]:
        return {self._partition}

    def close(self) -> None:
        self._log.close()
