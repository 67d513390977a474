"""Windows of a replay, each read ahead in part while the previous one is written."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from events.errors import LogError, LogGap, LogUnavailable
from events.logs.log import Partition, Record
from projector.rebuild.windows import READ_AHEAD_POLLS, Windows

ONE, OTHER = Partition("orders", 0), Partition("orders", 1)
RECORDS = 5 * READ_AHEAD_POLLS


class Reader:
    """Returns as many records as wanted. `fails`: what the next poll raises."""

    def __init__(self) -> None:
        self.positions = {ONE: 0, OTHER: 0}
        self.fails: LogError | None = None
        self.is_closed = False

    def poll(self, timeout_s: float, max_records: int, stop: Mapping[Partition, int]) -> Sequence[Record]:
        assert max_records > 0
        if self.fails:
            raise self.fails
        found: list[Record] = []
        for partition in (ONE, OTHER):
            for offset in range(self.positions[partition], stop.get(partition, 0))[: max_records - len(found)]:
                found.append(Record(partition, offset, 0, b"og_1", b"{}"))
                self.positions[partition] = offset + 1
        return found

    def close(self) -> None:
        self.is_closed = True


def call_once(call: Callable[[], Any]) -> Any:
    return call()


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def windows(reader: Reader) -> Iterator[Windows]:
    opened = Windows(reader, (), call_once, RECORDS)
    yield opened
    opened.close()
    assert reader.is_closed


@pytest.mark.parametrize("seed", range(20))
def test_every_record_is_in_one_window_and_positions_are_those_after_it(
    reader: Reader, windows: Windows, seed: int
) -> None:
    chance = random.Random(seed)
    stop = {ONE: 0, OTHER: 0}
    seen: dict[Partition, list[int]] = {ONE: [], OTHER: []}
    read_ahead = 0
    for _ in range(8):
        stop = {partition: at + chance.randrange(3 * RECORDS) for partition, at in stop.items()}
        while any(len(seen[partition]) < at for partition, at in stop.items()):
            before = sum(reader.positions.values())
            taken, reached = windows.take(stop)
            assert 0 < len(taken) <= RECORDS
            for item in taken:
                seen[item.record.partition].append(item.record.offset)
            assert reached == {partition: len(offsets) for partition, offsets in seen.items()}
            read_ahead += sum(reached.values()) - before < len(taken)
            for _ in range(chance.randrange(40)):
                windows.read_ahead(stop, chance.randrange(1, 9))
            assert sum(reader.positions.values()) - sum(reached.values()) <= RECORDS
    assert seen == {partition: [*range(at)] for partition, at in stop.items()}
    assert read_ahead > 5


def test_as_many_are_read_ahead_as_were_written(reader: Reader, windows: Windows) -> None:
    stop = {ONE: 1000}
    windows.take(stop)
    windows.read_ahead(stop, RECORDS // READ_AHEAD_POLLS - 1)
    assert reader.positions[ONE] == RECORDS
    windows.read_ahead(stop, 3)
    assert reader.positions[ONE] == RECORDS + RECORDS // READ_AHEAD_POLLS + 2


def test_the_next_window_waits_for_a_log_that_is_unavailable(reader: Reader, windows: Windows) -> None:
    stop = {ONE: 1000}
    windows.take(stop)
    reader.fails = LogUnavailable("away")
    windows.read_ahead(stop, RECORDS)
    reader.fails = None
    windows.read_ahead(stop, RECORDS)
    assert reader.positions[ONE] == RECORDS, "not polled again for each part"
    taken, reached = windows.take(stop)
    assert [item.record.offset for item in taken] == [*range(RECORDS, 2 * RECORDS)]
    assert reached == {ONE: 2 * RECORDS, OTHER: 0}


def test_a_log_gap_fails_the_next_window_only(reader: Reader, windows: Windows) -> None:
    stop = {ONE: 1000}
    windows.take(stop)
    reader.fails = LogGap("gone")
    windows.read_ahead(stop, RECORDS)
    # The error is raised although the next poll would succeed.
    reader.fails = None
    windows.read_ahead(stop, RECORDS)
    with pytest.raises(LogGap, match="gone"):
        windows.take(stop)
