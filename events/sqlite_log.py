"""A log in one SQLite file: the embedded default, for one machine. One partition, offsets like Kafka's."""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from events.errors import BadLogUrl, LogGap, LogMissing, LogUnavailable
from events.log import Entry, Headers, Loss, Partition, Polled, Position, Record, Subscription

# How often a reader at the end looks again, in seconds. SQLite has no way to be woken by another process.
LOOK_AGAIN_S = 0.01
# How long a writer waits for another writer's transaction, in seconds.
BUSY_TIMEOUT_S = 10.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
    "offset"     INTEGER PRIMARY KEY,
    timestamp_ms INTEGER NOT NULL,
    key          BLOB,
    value        BLOB,
    headers      BLOB NOT NULL  -- msgpack: [[name, value], ...]
)
"""
_headers = msgspec.msgpack.Decoder(Headers)


class SqliteLog:
    """Each instance belongs to the thread that uses it; any number of them, in any process, may share the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.topic = path.stem
        self._partition = Partition(self.topic, 0)
        self._opened: sqlite3.Connection | None = None

    def partitions(self) -> list[Partition]:
        self._connection()
        return [self._partition]

    def first(self) -> dict[Partition, int]:
        row = self._read('SELECT MIN("offset") FROM log')
        return {self._partition: self.end()[self._partition] if row[0] is None else row[0]}

    def end(self) -> dict[Partition, int]:
        return {self._partition: self._read('SELECT COALESCE(MAX("offset") + 1, 0) FROM log')[0]}

    def losses(self) -> dict[Loss, str]:
        return {}

    def create(self) -> bool:
        if self.path.is_dir():
            raise BadLogUrl(f"EVENT_LOG_URL: expected a file, got the directory {self.path}")
        existed = self.path.exists()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(_SCHEMA)
        except OSError as error:
            raise BadLogUrl(f"EVENT_LOG_URL: {error.strerror}: {error.filename}") from error
        except sqlite3.OperationalError as error:
            if not self.path.exists():
                raise BadLogUrl(f"EVENT_LOG_URL: {self.path}: {error}") from error
            raise LogUnavailable(f"{self.path}: {error}") from error
        except sqlite3.Error as error:
            raise BadLogUrl(f"EVENT_LOG_URL: {self.path}: {error}") from error
        return not existed

    def append(self, entries: Sequence[Entry]) -> list[Position]:
        connection = self._connection()
        now_ms = time.time_ns() // 1_000_000
        try:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                end = self.end()[self._partition]
                connection.executemany(
                    "INSERT INTO log VALUES (?, ?, ?, ?, ?)",
                    (
                        (offset, now_ms, entry.key, entry.value, msgspec.msgpack.encode(entry.headers))
                        for offset, entry in enumerate(entries, end)
                    ),
                )
        except sqlite3.Error as error:
            raise LogUnavailable(f"{self.path}: {error}") from error
        return [Position(self._partition, end + i + 1) for i in range(len(entries))]

    def subscribe(self) -> Subscription:
        return _Reader(self, self._partition)

    def records(self, start: int, count: int) -> list[Record]:
        rows = self._rows(
            'SELECT "offset", timestamp_ms, key, value, headers FROM log WHERE "offset" >= ? ORDER BY "offset" LIMIT ?',
            (start, count),
        )
        return [
            Record(self._partition, offset, timestamp_ms, key, value, _headers.decode(headers))
            for offset, timestamp_ms, key, value, headers in rows
        ]

    def close(self) -> None:
        if self._opened:
            self._opened.close()
            self._opened = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            if not self.path.exists():
                raise LogMissing(f"there is no log at {self.path}")
            connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S)
            # FULL: an acknowledged event survives a power cut, as acks=all would have it.
            connection.execute("PRAGMA synchronous = FULL")
            self._opened = connection
        return self._opened

    def _rows(self, sql: str, arguments: tuple[int, ...] = ()) -> list[Any]:
        try:
            return self._connection().execute(sql, arguments).fetchall()
        except sqlite3.Error as error:
            raise LogUnavailable(f"{self.path}: {error}") from error

    def _read(self, sql: str) -> Any:
        return self._rows(sql)[0]


class _Reader:
    """The one partition is ours from the start: a second projector on the file is found out by its commits."""

    def __init__(self, log: SqliteLog, partition: Partition) -> None:
        self._log = log
        self._partition = partition
        self._next: int | None = None

    def poll(self, timeout_s: float, max_records: int) -> Polled:
        if self._next is None:
            return Polled([self._partition], [])
        deadline = time.monotonic() + timeout_s
        while True:
            records = self._log.records(self._next, max_records)
            if records:
                self._next = records[-1].offset + 1
                return Polled([], records)
            if time.monotonic() >= deadline:
                return Polled([], [])
            time.sleep(LOOK_AGAIN_S)

    def seek(self, position: Position) -> None:
        first, end = self._log.first()[self._partition], self._log.end()[self._partition]
        if not first <= position.offset <= end:
            raise LogGap(f"{position} is not in the log, which holds the offsets {first} to {end}")
        self._next = position.offset

    def mark(self, positions: Mapping[Partition, int]) -> None:
        """Nobody asks an SQLite file for its readers' lag."""

    def close(self) -> None:
        self._log.close()
