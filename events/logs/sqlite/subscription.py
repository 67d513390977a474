"""Reading a log in an SQLite file as the projector does."""

import time
from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING

from events.errors import LogGap
from events.logs.log import Partition, Polled, Position, Record

if TYPE_CHECKING:
    from events.logs.sqlite.log import SqliteLog

# How often a reader at the end looks again, in seconds. SQLite has no way to be woken by another process.
POLL_EVERY_S = 0.01


class SqliteSubscription:
    """The one partition is ours from the start: a second projector on the file is found out by its commits."""

    def __init__(self, log: "SqliteLog", partition: Partition) -> None:
        self._log = log
        self._partition = partition
        self._next: int | None = None
        self._is_paused = False
        self._file = (0, 0)
        # The record just before `_next`, as of when `_next` was set.
        self._before: Record | None = None

    def poll(self, timeout_s: float, max_records: int) -> Polled:
        if self._next is None:
            return Polled([self._partition], [])
        deadline = time.monotonic() + timeout_s
        while True:
            records: Sequence[Record] = []
            is_last_look = time.monotonic() >= deadline
            if not self._is_paused:
                before, records = self._read(self._next, max_records)
                if self._log.file != self._file:
                    raise LogGap(f"the log at {self._log.path} was deleted and created again while it was read")
                # Offsets have no gaps here: one shows that the log no longer has what comes next.
                if records[0].offset != self._next if records else is_last_look:
                    self._log.check(Position(self._partition, self._next))
                if before != self._before:
                    self._before = before
                    return Polled([], [], interrupted=True)
            if records:
                self._before = records[-1]
                self._next = records[-1].offset + 1
                return Polled([], records)
            if is_last_look:
                return Polled([], [])
            time.sleep(POLL_EVERY_S)

    def _read(self, start: int, count: int) -> tuple[Record | None, Sequence[Record]]:
        """The record just before `start`, and those from `start` on, of one snapshot. A backup that was restored into
        the file shows in the former.
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
        """Nobody asks an SQLite file for its readers' lag."""

    def owned(self) -> Set[Partition]:
        return {self._partition}

    def close(self) -> None:
        self._log.close()
