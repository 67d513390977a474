"""Windows of one partition: limited by records and by bytes, and in order."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from events.errors import LogGap, LogUnavailable
from events.logs.log import Partition, Record
from projector.rebuild import windows
from projector.rebuild.windows import Windows

ONE, OTHER = Partition("orders", 0), Partition("orders", 1)


class Reader:
    """Returns as many records as wanted. `fails`: what the next poll raises."""

    def __init__(self, value: bytes = b"{}") -> None:
        self.positions = {ONE: 0, OTHER: 0}
        self.fails: Exception | None = None
        self._value = value

    def poll(self, timeout_s: float, max_records: int, stop: Mapping[Partition, int]) -> Sequence[Record]:
        assert max_records > 0
        if self.fails:
            failed, self.fails = self.fails, None
            raise failed
        found: list[Record] = []
        for partition, end in stop.items():
            for offset in range(self.positions[partition], end)[: max_records - len(found)]:
                found.append(Record(partition, offset, 0, b"og_1", self._value))
                self.positions[partition] = offset + 1
        return found

    def close(self) -> None: ...


def call_until_available(call: Callable[[], Any]) -> Any:
    while True:
        try:
            return call()
        except LogUnavailable:
            continue


@pytest.mark.parametrize("seed", range(20))
def test_every_record_is_in_one_window(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    records = chance.randrange(1, 300)
    monkeypatch.setattr(windows, "WINDOW_RECORDS", records)
    monkeypatch.setattr(windows, "POLL_RECORDS", chance.randrange(1, 100))
    opened, seen, stop = Windows(Reader(), (), call_until_available), list[int](), 0
    for _ in range(5):
        stop += chance.randrange(1000)
        while opened.positions[ONE] < stop:
            taken = opened.take({ONE: stop})
            assert 0 < len(taken) <= records
            assert {item.record.partition for item in taken} == {ONE}
            seen += [item.record.offset for item in taken]
            assert opened.positions[ONE] == len(seen)
            assert len(taken) == records or opened.positions[ONE] == stop, "no smaller than need be"
    assert seen == [*range(stop)]


def test_a_window_is_full_at_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "WINDOW_BYTES", 10_000)
    monkeypatch.setattr(windows, "POLL_RECORDS", 3)
    opened = Windows(Reader(b" " * 1000), (), call_until_available)
    assert len(opened.take({ONE: 1000})) == 12


def test_it_waits_for_a_log_that_is_unavailable() -> None:
    reader = Reader()
    reader.fails = LogUnavailable("away")
    assert len(Windows(reader, (), call_until_available).take({ONE: 10})) == 10


def test_a_log_gap_is_raised() -> None:
    reader = Reader()
    reader.fails = LogGap("gone")
    with pytest.raises(LogGap, match="gone"):
        Windows(reader, (), call_until_available).take({ONE: 10})


def test_poison_pills_are_not_decoded() -> None:
    taken = Windows(Reader(b"\0"), {"orders/0@1"}, call_until_available).take({ONE: 2})
    assert [item.problem.problem if item.problem else "" for item in taken][1] == "processes that decoded it crashed"
