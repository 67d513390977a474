import re
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from events.errors import LogGap, LogMissing
from events.logs.log import Entry, Partition, Polled, Position, Record
from events.logs.open import open_log, sqlite_url
from events.logs.sqlite.log import SqliteLog

ORDERS = Partition("orders", 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orders.db"


def entries(count: int, start: int = 0) -> list[Entry]:
    return [Entry(b"k%d" % i, b"v%d" % i, (("h", b"\xff%d" % i),)) for i in range(start, start + count)]


def test_append_returns_positions_and_reading_returns_all(path: Path) -> None:
    with SqliteLog(path) as log:
        assert log.create()
        assert not log.create()
        assert log.append(entries(3)) == [Position(ORDERS, 1), Position(ORDERS, 2), Position(ORDERS, 3)]
        assert log.append(entries(2, 3))[-1] == Position(ORDERS, 5)
        assert (log.first(), log.end()) == ({ORDERS: 0}, {ORDERS: 5})
    with SqliteLog(path) as log:
        reader = log.subscribe()
        assert reader.poll(0, 10).assigned == [ORDERS]
        reader.seek(Position(ORDERS, 1))
        first, second = reader.poll(0, 3).records, reader.poll(0, 3).records
        assert [record.offset for record in (*first, *second)] == [1, 2, 3, 4]
        assert [(r.key, r.value, r.headers) for r in first] == [(e.key, e.value, e.headers) for e in entries(3, 1)]
        assert reader.poll(0, 3).records == []


def test_a_reader_at_the_end_sees_what_another_connection_appends(path: Path) -> None:
    with SqliteLog(path) as log:
        log.create()
        reader = log.subscribe()
        reader.poll(0, 1)
        reader.seek(Position(ORDERS, 0))

        def append() -> None:
            with SqliteLog(path) as other:
                other.append(entries(1))

        writer = threading.Thread(target=append)
        writer.start()
        assert [record.offset for record in reader.poll(10, 5).records] == [0]
        writer.join()


def test_a_paused_partition_waits_until_it_is_sought(path: Path) -> None:
    with SqliteLog(path) as log:
        log.create()
        log.append(entries(3))
        reader = log.subscribe()
        reader.seek(Position(ORDERS, 0))
        reader.pause(ORDERS)
        assert reader.poll(0.05, 5) == Polled([], [])
        reader.seek(Position(ORDERS, 1))
        assert [record.offset for record in reader.poll(0, 5).records] == [1, 2]


def test_many_writers_leave_no_gap_and_no_duplicate(path: Path) -> None:
    with SqliteLog(path) as log:
        log.create()
    positions: list[Position] = []

    def append() -> None:
        with SqliteLog(path) as log:
            for _ in range(20):
                positions.extend(log.append(entries(3)))

    writers = [threading.Thread(target=append) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(position.offset for position in positions) == list(range(1, 241))


def test_a_position_outside_the_log_is_a_gap(path: Path) -> None:
    with SqliteLog(path) as log:
        log.create()
        log.append(entries(2))
        reader = log.subscribe()
        with pytest.raises(LogGap, match=r"orders/0@3 is not in the log, which has the positions 0 to 2"):
            reader.seek(Position(ORDERS, 3))


def test_a_missing_log_is_an_error(path: Path) -> None:
    with pytest.raises(LogMissing, match=r"there is no log at .*orders\.db"), SqliteLog(path) as log:
        log.partitions()


def test_its_url_round_trips(path: Path) -> None:
    log = open_log(sqlite_url(path), {})
    assert isinstance(log, SqliteLog)
    assert log.path == path
    assert log.topic == "orders"


def offsets(records: Sequence[Record]) -> list[int]:
    return [record.offset for record in records]


def test_a_reader_stops_at_its_stop_and_resumes_there(path: Path) -> None:
    with SqliteLog(path) as log:
        log.create()
        log.append(entries(10))
        reader = log.read({ORDERS: 2})
        assert reader.positions == {ORDERS: 2}
        assert offsets(reader.poll(0, 3, {ORDERS: 6})) == [2, 3, 4]
        assert offsets(reader.poll(0, 3, {ORDERS: 6})) == [5]
        started_s = time.monotonic()
        for stop in (6, 4):
            assert reader.poll(60, 3, {ORDERS: stop}) == []
        assert reader.poll(60, 3, {}) == []
        assert time.monotonic() - started_s < 1
        assert reader.positions == {ORDERS: 6}
        records = reader.poll(0, 9, {ORDERS: 100})
        assert [(r.offset, r.key, r.value, r.headers) for r in records] == [
            (offset, e.key, e.value, e.headers) for offset, e in enumerate(entries(4, 6), 6)
        ]
        assert reader.poll(0.05, 9, {ORDERS: 100}) == []
        log.append(entries(1))
        assert offsets(reader.poll(0, 9, {ORDERS: 100})) == [10]


def test_a_waiting_reader_sees_what_another_connection_appends(path: Path) -> None:
    with SqliteLog(path) as log:
        log.create()
        reader = log.read({ORDERS: 0})

        def append() -> None:
            with SqliteLog(path) as other:
                other.append(entries(1))

        writer = threading.Thread(target=append)
        writer.start()
        assert offsets(reader.poll(10, 5, {ORDERS: 5})) == [0]
        writer.join()


def delete_before(path: Path, offset: int) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute('DELETE FROM log WHERE "offset" < ?', (offset,))


def test_a_reader_raises_for_a_dropped_position(path: Path) -> None:
    with SqliteLog(path) as log:
        log.create()
        assert log.first_times() == {ORDERS: None}
        log.append(entries(10))
        reader = log.read({ORDERS: 0})
        assert offsets(reader.poll(0, 2, {ORDERS: 2})) == [0, 1]
        delete_before(path, 5)
        for start in (2, 11):
            with pytest.raises(LogGap, match=f"orders/0@{start} is not in the log, which has the positions 5 to 10"):
                log.read({ORDERS: start}).poll(0, 1, {ORDERS: 20})
        with pytest.raises(LogGap, match="orders/0@2 is not in the log"):
            reader.poll(0, 2, {ORDERS: 10})
        reader = log.read(log.first())
        (record,) = reader.poll(0, 1, {ORDERS: 10})
        assert record.offset == 5
        assert log.first_times() == {ORDERS: record.timestamp_ms}


def test_a_missing_partition_is_an_error(path: Path) -> None:
    with SqliteLog(path) as log:
        log.create()
        with pytest.raises(LogMissing, match="has no orders/1"):
            log.read({Partition("orders", 1): 0})


def test_a_file_created_again_is_another_log(path: Path) -> None:
    with SqliteLog(path) as log, SqliteLog(path) as other:
        log.create()
        log.append(entries(3))
        identity = log.identity()
        assert re.fullmatch("[0-9a-f]{32}", identity)
        log.create()
        assert (log.identity(), other.identity()) == (identity, identity)
        for file in path.parent.iterdir():
            file.unlink()
        with pytest.raises(LogMissing):
            log.identity()
        other.create()
        assert other.identity() == log.identity() != identity
        assert log.end() == {ORDERS: 0}


def test_create_adds_the_identity_to_a_file_of_an_earlier_release(path: Path) -> None:
    with SqliteLog(path) as log:
        log.create()
        log.append(entries(3))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE identity")
        with pytest.raises(LogMissing, match="an earlier release created it"):
            log.identity()
        assert not log.create()
        assert log.identity()
        assert log.end() == {ORDERS: 3}


@pytest.mark.parametrize("gone", ['"offset" >= 3', '"offset" < 7'])
def test_a_subscription_does_not_skip_missing_records(path: Path, gone: str) -> None:
    """Neither truncated records nor records dropped by retention."""
    with SqliteLog(path) as log:
        log.create()
        log.append(entries(10))
        reader = log.subscribe()
        reader.seek(Position(ORDERS, 0))
        assert len(reader.poll(0, 5).records) == 5
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"DELETE FROM log WHERE {gone}")
        with pytest.raises(LogGap, match=r"orders/0@5 is not in the log, which has the positions (0 to 3|7 to 10)"):
            reader.poll(0, 5)


def test_a_subscription_does_not_continue_in_another_file(path: Path) -> None:
    """Even if the new file has the position."""
    with SqliteLog(path) as log, SqliteLog(path) as other:
        log.create()
        log.append(entries(3))
        reader = log.subscribe()
        reader.seek(Position(ORDERS, 0))
        assert len(reader.poll(0, 5).records) == 3
        for file in path.parent.iterdir():
            file.unlink()
        other.create()
        other.append(entries(9))
        with pytest.raises(LogGap, match="was deleted and created again while it was read"):
            reader.poll(0, 5)
