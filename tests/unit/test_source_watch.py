"""When a relay is live and ready, and what it says if it is not."""

from events.sources.watch import Backlog, Watch


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_relay_without_a_turn_is_stuck() -> None:
    clock = Clock()
    watch = Watch(clock)
    clock.now_s = 120.0
    assert watch.is_live()
    assert watch.problems() == []
    clock.now_s = 121.0
    assert not watch.is_live()
    assert watch.problems() == ["the relay has been stuck for 121 s"]
    watch.turn()
    assert watch.is_live()


def test_an_outage_lasts_from_its_first_failure_to_its_end() -> None:
    clock = Clock()
    watch = Watch(clock)
    for now_s, reason in ((10.0, "refused"), (15.0, "timed out")):
        clock.now_s = now_s
        watch.wait("log", reason)
    assert watch.problems() == ["waiting for log: timed out"]
    assert watch.waited_s == 5.0
    clock.now_s = 17.0
    assert watch.resume() == 7.0
    assert watch.problems() == []
    assert watch.resume() == 0.0
    assert b'order_groups_source_failures_total{on="log"} 2.0' in watch.text("")[0]


def test_old_notes_are_a_problem_of_the_relay_that_works() -> None:
    watch = Watch()
    watch.backlog = Backlog(3, 9_000, 61.0)
    assert watch.problems() == []
    watch.works = True
    assert watch.problems() == ["3 notes wait, the oldest for 61 s"]
    watch.backlog = Backlog(3, 9_000, 60.0)
    assert watch.problems() == []


def test_reasons_of_the_source_are_shown_and_counted() -> None:
    watch = Watch()
    watch.problems_of_source = ["seller: its trigger is missing", "customer: its trigger is disabled"]
    assert watch.problems() == ["seller: its trigger is missing", "customer: its trigger is disabled"]
    text = watch.text("")[0].decode()
    assert "order_groups_source_problems 2.0" in text
    assert "order_groups_source_ready 0.0" in text
