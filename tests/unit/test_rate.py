"""What the bench makes of steps that are told now and then."""

from collections.abc import Iterator

import pytest

import bench.stream
from bench.stream import rate


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def perf_counter(self) -> float:
        return self.now_s

    def steps(self, told: list[tuple[float, int]]) -> Iterator[int]:
        """(seconds from the start, events since the last one)"""
        for at_s, events in told:
            self.now_s = 100.0 + at_s
            yield events


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(bench.stream, "time", clock)
    return clock


def test_the_first_step_does_not_count(clock: Clock) -> None:
    assert rate(clock.steps([(9, 50), (10, 20), (11, 20)])) == 20


@pytest.mark.parametrize("late", [0.001, 0.5, 0.999])
def test_of_two_workers_the_first_and_last_windows_do_not_count(clock: Clock, late: float) -> None:
    # Each writes a window of 100 a second; both begin with one of another length, for which nothing was read before.
    one = [(3.0 + n, 100) for n in range(6)]
    told = sorted([*one, *((at_s + late, events) for at_s, events in one)])
    assert rate(clock.steps(told), left_out=200) == pytest.approx(200, rel=0.15)


def test_too_few_steps_are_no_measure(clock: Clock) -> None:
    with pytest.raises(SystemExit, match="too few events to measure: 300 in 3 steps"):
        rate(clock.steps([(1, 100), (2, 100), (3, 100)]), left_out=150)
