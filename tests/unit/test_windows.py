"""A replay's windows, some of each read while the one before is written."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from events.errors import LogError, LogGap, LogUnavailable
from events.logs.log import Partition, Record
from projector.rebuild.windows import READ_ON_POLLS, Windows

ONE, OTHER = Partition("orders", 0), Partition("orders", 1)
RECORDS = 5 * READ_ON_POLLS


class Reader:
    """Of as many records as anybody wants. `fails`: what the next poll raises."""

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


def at_once(call: Callable[[], Any]) -> Any:
    return call()


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def windows(reader: Reader) -> Iterator[Windows]:
    opened = Windows(reader, (), at_once, RECORDS)
    yield opened
    opened.close()
    assert reader.is_closed


@pytest.mark.parametrize("seed", range(20))
def test_every_record_is_in_one_window_and_positions_are_behind_it(reader: Reader, windows: Windows, seed: int) -> None:
    chance = random.Random(seed)
    stop = {ONE: 0, OTHER: 0}
    seen: dict[Partition, list[int]] = {ONE: [], OTHER: []}
    read_on = 0
    for _ in range(8):
        stop = {partition: at + chance.randrange(3 * RECORDS) for partition, at in stop.items()}
        while any(len(seen[partition]) < at for partition, at in stop.items()):
            before = sum(reader.positions.values())
            taken, reached = windows.take(stop)
            assert 0 < len(taken) <= RECORDS
            for item in taken:
                seen[item.record.partition].append(item.record.offset)
            assert reached == {partition: len(offsets) for partition, offsets in seen.items()}
            read_on += sum(reached.values()) - before < len(taken)
            for _ in range(chance.randrange(40)):
                windows.read_on(stop, chance.randrange(1, 9))
            assert sum(reader.positions.values()) - sum(reached.values()) <= RECORDS
    assert seen == {partition: [*range(at)] for partition, at in stop.items()}
    assert read_on > 5


def test_as_many_are_read_on_as_were_written(reader: Reader, windows: Windows) -> None:
    stop = {ONE: 1000}
    windows.take(stop)
    windows.read_on(stop, RECORDS // READ_ON_POLLS - 1)
    assert reader.positions[ONE] == RECORDS
    windows.read_on(stop, 3)
    assert reader.positions[ONE] == RECORDS + RECORDS // READ_ON_POLLS + 2


def test_a_log_that_is_away_is_waited_for_by_the_next_window(reader: Reader, windows: Windows) -> None:
    stop = {ONE: 1000}
    windows.take(stop)
    reader.fails = LogUnavailable("away")
    windows.read_on(stop, RECORDS)
    reader.fails = None
    windows.read_on(stop, RECORDS)
    assert reader.positions[ONE] == RECORDS, "not asked again for each part"
    taken, reached = windows.take(stop)
    assert [item.record.offset for item in taken] == [*range(RECORDS, 2 * RECORDS)]
    assert reached == {ONE: 2 * RECORDS, OTHER: 0}


def test_a_log_that_has_lost_what_comes_next_fails_the_next_window_alone(reader: Reader, windows: Windows) -> None:
    stop = {ONE: 1000}
    windows.take(stop)
    reader.fails = LogGap("gone")
    windows.read_on(stop, RECORDS)
    # Told once is enough.
    reader.fails = None
    windows.read_on(stop, RECORDS)
    with pytest.raises(LogGap, match="gone"):
        windows.take(stop)
