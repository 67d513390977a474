"""Liveness, readiness and lag of the main loop, with a simulated clock."""

import pytest

from events.logs.log import Partition, Record
from projector.health.pulse import END_AGE_MAX_S, TURN_MAX_S, Pulse
from projector.project import Decoded

ONE, TWO = Partition("orders", 0), Partition("orders", 1)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pulse(clock: Clock) -> Pulse:
    """Returns the pulse of a working loop."""
    pulse = Pulse(lag_max=10, clock=clock)
    pulse.mark({ONE}, {ONE: 90})
    pulse.set_end({ONE: 100, TWO: 5000}, {})
    return pulse


def test_a_working_loop_is_live_and_ready(pulse: Pulse) -> None:
    assert pulse.is_live()
    assert pulse.problems() == []
    assert pulse.lag == {ONE: 10}


def test_a_stuck_loop_is_not_live(pulse: Pulse, clock: Clock) -> None:
    clock.now_s += TURN_MAX_S
    assert pulse.is_live()
    clock.now_s += 1
    assert not pulse.is_live()
    assert "the loop has been stuck for 61 s" in pulse.problems()
    pulse.turn()
    assert pulse.is_live()


def test_a_waiting_loop_is_live_but_not_ready(pulse: Pulse, clock: Clock) -> None:
    for _ in range(100):
        clock.now_s += 2
        pulse.wait("redis", "Redis refuses for now (OOM): full")
        pulse.set_end({ONE: 100}, {})
    assert pulse.is_live()
    assert pulse.problems() == ["waiting for redis: Redis refuses for now (OOM): full"]
    assert pulse.waited_s == {"redis": 198.0, "log": 0.0}
    assert pulse.resume() == 198.0
    assert (pulse.problems(), pulse.waited_s) == ([], {"redis": 0.0, "log": 0.0})


def test_only_our_partitions_count_for_the_lag(pulse: Pulse) -> None:
    pulse.set_end({ONE: 101, TWO: 5000}, {})
    assert pulse.problems() == ["11 events behind, READY_LAG_MAX is 10"]
    pulse.mark({ONE, TWO}, {ONE: 101, TWO: 4990})
    assert pulse.problems() == []
    # Positions may be ahead of an end that is a second old.
    pulse.mark({ONE, TWO}, {ONE: 150, TWO: 4990})
    assert pulse.lag == {ONE: 0, TWO: 10}


def test_events_held_back_by_a_transaction(pulse: Pulse, clock: Clock) -> None:
    """Time counts from when the same first event is held back: short transactions do not add up."""
    for second in range(300):
        clock.now_s += 1
        pulse.turn()
        pulse.set_end({ONE: 100 + second, TWO: 5000}, {ONE: 5, TWO: 0})
        pulse.mark({ONE}, {ONE: 95 + second})
    assert (pulse.held_back, pulse.held_back_s, pulse.problems()) == ({ONE: 5}, 0.0, [])
    for second in range(120):
        pulse.set_end({ONE: 400, TWO: 5000 + second}, {ONE: 6, TWO: second})
        clock.now_s += 1
        pulse.turn()
        assert pulse.problems() == []
    pulse.set_end({ONE: 400, TWO: 5120}, {ONE: 6, TWO: 120})
    clock.now_s += 1
    assert pulse.held_back_s == 121.0
    assert pulse.problems() == ["6 events held back by an open transaction for 121 s, READY_HELD_BACK_MAX_S is 120"]
    pulse.mark({TWO}, {TWO: 5000})
    assert (pulse.held_back, pulse.held_back_s) == ({TWO: 120}, 120.0)
    pulse.set_end({ONE: 400, TWO: 5000}, {ONE: 0, TWO: 0})
    assert (pulse.held_back, pulse.held_back_s) == ({TWO: 0}, 0.0)


def test_an_outdated_end_makes_the_lag_unknown(pulse: Pulse, clock: Clock) -> None:
    clock.now_s += END_AGE_MAX_S + 1
    pulse.turn()
    assert pulse.problems() == ["the end of the log is unknown"]


def test_a_member_without_partitions_is_ready(pulse: Pulse) -> None:
    pulse.mark(set(), {})
    assert pulse.problems() == []
    pulse.mark(None, {})
    assert pulse.problems() == ["not a member of the consumer group yet"]


def test_standing_by_is_not_ready(pulse: Pulse) -> None:
    pulse.mark(None, {})
    pulse.standing_by = True
    assert pulse.problems() == ["another version of the read model is live"]


def test_the_age_of_the_oldest_unstored_event(pulse: Pulse) -> None:
    assert pulse.oldest_unapplied_s(5_000_000) == 0.0
    pulse.oldest = [Decoded(Record(ONE, n, time_ms, None, b""), None, None) for n, time_ms in enumerate((4_998, 4_000))]
    assert pulse.oldest_unapplied_s(5_500) == 1.5
    # The publisher's clock may be ahead of ours.
    assert pulse.oldest_unapplied_s(3_000) == 0.0
