import threading
from pathlib import Path

import pytest

from events.errors import LogGap, LogMissing
from events.log import Entry, Partition, Position
from events.open import open_log, sqlite_url
from events.sqlite_log import SqliteLog

ORDERS = Partition("orders", 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orders.db"


def entries(count: int, start: int = 0) -> list[Entry]:
    return [Entry(b"k%d" % i, b"v%d" % i, (("h", b"\xff%d" % i),)) for i in range(start, start + count)]


def test_append_gives_positions_and_reading_gives_all_back(path: Path) -> None:
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
        with pytest.raises(LogGap, match=r"orders/0@3 is not in the log, which holds the offsets 0 to 2"):
            reader.seek(Position(ORDERS, 3))


def test_a_missing_log_is_told(path: Path) -> None:
    with pytest.raises(LogMissing, match=r"there is no log at .*orders\.db"), SqliteLog(path) as log:
        log.partitions()


def test_its_url_leads_back_to_it(path: Path) -> None:
    log = open_log(sqlite_url(path), {})
    assert isinstance(log, SqliteLog)
    assert log.path == path
    assert log.topic == "orders"
