"""A log in one SQLite file, the embedded default for one host. It has one partition, and no gaps in its offsets."""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import msgspec

from events.errors import BadLogUrl, LogGap, LogMissing, LogUnavailable
from events.logs.log import Entry, Headers, Loss, Partition, Position, Reader, Record, Subscription
from events.logs.sqlite.subscription import POLL_EVERY_S, SqliteSubscription

# The largest offset.
OFFSET_MAX = 2**63 - 1
# How long a writer waits for another writer's transaction, in seconds.
BUSY_TIMEOUT_S = 10.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
    "offset"     INTEGER PRIMARY KEY,
    timestamp_ms INTEGER NOT NULL,
    key          BLOB,
    value        BLOB,
    headers      BLOB NOT NULL  -- msgpack: [[name, value], ...]
);
CREATE TABLE IF NOT EXISTS identity (
    row INTEGER PRIMARY KEY CHECK (row = 1),
    id  TEXT NOT NULL  -- 32 hex digits, made with the file
);
INSERT OR IGNORE INTO identity VALUES (1, lower(hex(randomblob(16))));
"""
_headers = msgspec.msgpack.Decoder(Headers)


class SqliteLog:
    """Use one instance per thread. Any number of instances, in any process, may share the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.topic = path.stem
        self._partition = Partition(self.topic, 0)
        self._opened: sqlite3.Connection | None = None
        self._file = (0, 0)

    def partitions(self) -> list[Partition]:
        self._connection()
        return [self._partition]

    def first(self) -> dict[Partition, int]:
        row = self._read('SELECT MIN("offset") FROM log')
        return {self._partition: self.end()[self._partition] if row[0] is None else row[0]}

    def first_times(self) -> dict[Partition, int | None]:
        rows = self._rows('SELECT timestamp_ms FROM log ORDER BY "offset" LIMIT 1')
        return {self._partition: rows[0][0] if rows else None}

    def end(self) -> dict[Partition, int]:
        return {self._partition: self._read('SELECT COALESCE(MAX("offset") + 1, 0) FROM log')[0]}

    def held_back(self, end: Mapping[Partition, int]) -> dict[Partition, int]:
        return dict.fromkeys(end, 0)

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
                connection.executescript(_SCHEMA)
        except OSError as error:
            raise BadLogUrl(f"EVENT_LOG_URL: {error.strerror}: {error.filename}") from error
        except sqlite3.Error as error:
            if isinstance(error, sqlite3.OperationalError) and self.path.exists():
                raise LogUnavailable(f"{self.path}: {error}") from error
            raise BadLogUrl(f"EVENT_LOG_URL: {self.path}: {error}") from error
        return not existed

    def at(self, offsets: Mapping[Partition, int]) -> dict[Partition, Record | None]:
        # Opens a new connection: an open one may not notice that another file was copied over this one.
        self.close()
        found: dict[Partition, Record | None] = dict.fromkeys(offsets)
        if (offset := offsets.get(self._partition)) is not None:
            found[self._partition] = next(iter(self.records(offset, 1, offset + 1)), None)
        return found

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
        return SqliteSubscription(self, self._partition)

    def read(self, start: Mapping[Partition, int]) -> Reader:
        absent = [str(partition) for partition in start.keys() - set(self.partitions())]
        if absent:
            raise LogMissing(f"the log at {self.path} has no {', '.join(sorted(absent))}")
        return _Reader(self, start)

    def identity(self) -> str:
        if not self._rows("SELECT 1 FROM sqlite_schema WHERE name = 'identity'"):
            raise LogMissing(
                f"the log at {self.path} has no identity: an earlier release created it; start `projector run`"
            )
        identity: str = self._read("SELECT id FROM identity")[0]
        return identity

    def records(self, start: int, count: int, stop: int = OFFSET_MAX) -> list[Record]:
        rows = self._rows(
            'SELECT "offset", timestamp_ms, key, value, headers FROM log WHERE "offset" >= ? AND "offset" < ? '
            'ORDER BY "offset" LIMIT ?',
            (start, stop, count),
        )
        return [
            Record(self._partition, offset, timestamp_ms, key, value, _headers.decode(headers))
            for offset, timestamp_ms, key, value, headers in rows
        ]

    @property
    def file(self) -> tuple[int, int]:
        """Device and inode of the file that was last read, which change when it is deleted and created again."""
        return self._file

    def check(self, position: Position) -> None:
        """Raises LogGap where the position is neither in the log nor its end."""
        first, end = self.first()[position.partition], self.end()[position.partition]
        if not first <= position.offset <= end:
            raise LogGap(f"{position} is not in the log, which has the positions {first} to {end}")

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
        try:
            found = self.path.stat()
        except OSError:
            self.close()
            raise LogMissing(f"there is no log at {self.path}") from None
        if self._opened is None or self._file != (found.st_dev, found.st_ino):
            # A file that was deleted and created again is another log; the open connection would read the deleted file.
            self.close()
            self._file = found.st_dev, found.st_ino
            connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S)
            # FULL: an acknowledged event survives a power failure, as with acks=all.
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
    """Offsets have no gaps here: a gap means that the log does not have the requested records."""

    def __init__(self, log: SqliteLog, start: Mapping[Partition, int]) -> None:
        self._log = log
        self._positions = dict(start)

    @property
    def positions(self) -> Mapping[Partition, int]:
        return MappingProxyType(self._positions)

    def poll(self, timeout_s: float, max_records: int, stop: Mapping[Partition, int]) -> Sequence[Record]:
        deadline_s = time.monotonic() + timeout_s
        for partition, start in self._positions.items():
            end = stop.get(partition, 0)
            while start < end:
                records = self._log.records(start, max_records, end)
                if not records or records[0].offset != start:
                    self._log.check(Position(partition, start))
                if records:
                    self._positions[partition] = records[-1].offset + 1
                    return records
                if time.monotonic() >= deadline_s:
                    break
                time.sleep(POLL_EVERY_S)
        return []

    def close(self) -> None:
        """Does nothing: the log owns the connection, and may still be in use."""
