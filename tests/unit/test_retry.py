"""Retries while Redis or the log is unavailable."""

import threading

import pytest
from structlog.testing import capture_logs

from events.errors import LogUnavailable
from projector.errors import FatalError, StoreUnavailable
from projector.retry import Stopped, retry


class Stop(threading.Event):
    """An event that records waits instead of sleeping. It is set after `waits_max` waits."""

    def __init__(self, waits_max: int = 1000) -> None:
        super().__init__()
        self.waits_s: list[float] = []
        self._waits_max = waits_max

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits_s.append(timeout)
        return len(self.waits_s) >= self._waits_max


class Waiter:
    def __init__(self) -> None:
        self.outages: list[tuple[str, str]] = []
        self.resumed = 0

    def wait(self, on: str, reason: str) -> None:
        self.outages.append((on, reason))

    def resume(self) -> None:
        self.resumed += 1


class Server:
    """A call that raises the errors in turn, then returns."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self._errors:
            raise self._errors.pop(0)
        return 7


def test_a_successful_call_returns_at_once() -> None:
    stop, waiter = Stop(), Waiter()
    with capture_logs() as lines:
        assert retry(stop, Server(), waiter) == 7
    assert (stop.waits_s, waiter.outages, waiter.resumed, lines) == ([], [], 0, [])


def test_pauses_grow_to_a_limit_with_jitter() -> None:
    stop, waiter = Stop(), Waiter()
    assert retry(stop, Server(*(StoreUnavailable(f"away {n}") for n in range(12))), waiter) == 7
    full_s = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    shares = [waited / full for waited, full in zip(stop.waits_s, full_s, strict=True)]
    assert all(0.5 <= share <= 1 for share in shares)
    assert len({round(share, 6) for share in shares}) > 6
    assert waiter.outages == [("redis", f"away {n}") for n in range(12)]
    assert waiter.resumed == 1


def test_an_outage_has_two_log_lines() -> None:
    waiter = Waiter()
    with capture_logs() as lines:
        retry(
            Stop(), Server(StoreUnavailable("gone"), LogUnavailable("gone, too"), StoreUnavailable("LOADING")), waiter
        )
    assert [(line["event"], line["log_level"]) for line in lines] == [("waiting", "warning"), ("resumed", "info")]
    assert lines[0]["reason"] == "gone"
    assert (lines[1]["attempts"], lines[1]["last_reason"]) == (4, "LOADING")
    assert 0 <= lines[1]["waited_s"] < 5
    assert [on for on, _ in waiter.outages] == ["redis", "log", "redis"]


def test_a_stop_ends_the_retries() -> None:
    server = Server(*[StoreUnavailable("away")] * 9)
    with pytest.raises(Stopped):
        retry(Stop(waits_max=3), server)
    assert server.calls == 3


def test_other_errors_are_not_retried() -> None:
    server = Server(StoreUnavailable("away"), FatalError("WRONGTYPE"))
    with pytest.raises(FatalError):
        retry(Stop(), server)
    assert server.calls == 2


def test_the_log_is_reminded_of_an_outage_that_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projector.retry.REMIND_S", 0.0)
    with capture_logs() as lines:
        retry(Stop(), Server(*(LogUnavailable(f"away {n}") for n in range(3))))
    assert [line["event"] for line in lines] == ["waiting", "still waiting", "still waiting", "resumed"]
    assert [line["reason"] for line in lines[:3]] == ["away 0", "away 1", "away 2"]
    assert [line["attempts"] for line in lines[1:]] == [2, 3, 4]
    assert {line["log_level"] for line in lines[:3]} == {"warning"}
