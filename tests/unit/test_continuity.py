"""Compares records of the log with the anchors of applied records."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from events.errors import LogGap
from events.logs.log import UNREADABLE, Entry, Partition, Record
from events.logs.sqlite.log import SqliteLog
from projector.anchors import Anchor, Anchors, anchor_of
from projector.continuity import Divergence, _Records, check_end

PARTITION = Partition("orders", 0)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    with SqliteLog(tmp_path / "orders.db") as log:
        log.create()
        log.append([Entry(b"key", f"record {number}".encode()) for number in range(100)])
        yield log


def applied(log: SqliteLog, *offsets: int) -> list[Anchor]:
    records = {record.offset: record for record in log.records(0, 100)}
    return [anchor_of(records[offset]) for offset in offsets]


def of_another(*offsets: int) -> list[Anchor]:
    """Returns anchors of records other than the log's at these offsets."""
    return [anchor_of(Record(PARTITION, offset, 0, b"key", b"another")) for offset in offsets]


def compared(log: SqliteLog, *anchors: Anchor, thorough: bool = True) -> Divergence | bool:
    return _Records(log).compare(PARTITION, Anchors(anchors[0].offset + 1, anchors), thorough)


def test_the_same_log(log: SqliteLog) -> None:
    assert compared(log, *applied(log, 99, 90, 40, 0)) is True


def test_a_restored_log(log: SqliteLog) -> None:
    found = compared(log, *of_another(99, 90), *applied(log, 40, 0))
    assert found == Divergence(PARTITION, 100, 99, 90, 40)


def test_applied_records_of_another_log_do_not_hide_a_divergence(log: SqliteLog) -> None:
    """A thorough comparison checks all anchors; otherwise an equal newest one is enough."""
    anchors = [*applied(log, 99, 98), *of_another(90, 80), *applied(log, 40, 0)]
    assert compared(log, *anchors) == Divergence(PARTITION, 100, 90, 80, 40)
    assert compared(log, *anchors, thorough=False) is True


def test_dropped_records_are_unknown(log: SqliteLog) -> None:
    assert compared(log, *of_another(200, 150)) is False
    assert compared(log, *of_another(200), *applied(log, 40)) is True


def test_unreadable_records_are_unknown(log: SqliteLog) -> None:
    """Another release may be able to read it."""
    unreadable = Record(PARTITION, 99, 0, None, None, ((UNREADABLE, b"why"),), 3)
    assert anchor_of(unreadable) == anchor_of(structs.replace(unreadable, headers=((UNREADABLE, b"why not"),)))
    assert compared(log, anchor_of(unreadable)) is False
    assert compared(log, anchor_of(unreadable), *of_another(90)) == Divergence(PARTITION, 100, 90, 90, None)


def test_a_log_that_ends_before_the_position() -> None:
    check_end(PARTITION, 100, 100)
    with pytest.raises(LogGap, match="Redis has applied orders/0 up to 101, but the log ends at 100"):
        check_end(PARTITION, 101, 100)
