"""An incident is a few lines of the log, however many requests fail."""

import asyncio

from structlog.testing import capture_logs

from api.middleware.incident import Incident, Readiness


def test_an_incident_has_two_lines() -> None:
    async def live_through() -> None:
        incident = Incident(quiet_s=0.5)
        for number in range(20):
            incident.record(f"away {number}", "AWAY", f"id-{number}")
            await asyncio.sleep(0.005)
        while len(lines) < 2:
            await asyncio.sleep(0.005)
        incident.record("away again", None, "another")
        while len(lines) < 4:
            await asyncio.sleep(0.005)

    with capture_logs() as lines:
        asyncio.run(asyncio.wait_for(live_through(), 10))
    assert [line["event"] for line in lines] == ["unavailable", "available again"] * 2
    assert (lines[0]["reason"], lines[0]["refusal"], lines[0]["request_id"]) == ("away 0", "AWAY", "id-0")
    assert (lines[1]["requests"], lines[1]["last_reason"]) == (20, "away 19")
    assert 0.09 < lines[1]["lasted_s"] < 5
    assert (lines[2]["reason"], lines[2]["refusal"], lines[3]["requests"]) == ("away again", "-", 1)


def test_the_log_is_reminded_of_an_incident_that_lasts() -> None:
    async def live_through() -> None:
        incident = Incident(quiet_s=0.01, remind_s=0.0)
        for number in range(3):
            incident.record(f"away {number}", "AWAY", "id")
        while len(lines) < 4:
            await asyncio.sleep(0.005)

    with capture_logs() as lines:
        asyncio.run(asyncio.wait_for(live_through(), 10))
    assert [line["event"] for line in lines] == ["unavailable", *["still unavailable"] * 2, "available again"]
    assert [(line["reason"], line["requests"]) for line in lines[1:3]] == [("away 1", 1), ("away 2", 2)]


def test_the_log_says_why_it_is_not_ready_and_when_it_is() -> None:
    readiness = Readiness()
    with capture_logs() as lines:
        for problem in (None, "no text yet", "Redis: AWAY", None, None, "11 events behind"):
            readiness.record(problem)
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("not ready", "warning"),
        ("ready", "info"),
        ("not ready", "warning"),
    ]
    assert [line["reason"] for line in lines] == ["no text yet", "no text yet", "11 events behind"]


def test_the_log_is_reminded_of_what_keeps_it_from_being_ready() -> None:
    readiness = Readiness(remind_s=0.0)
    with capture_logs() as lines:
        readiness.record("no text yet")
        readiness.record("Redis: AWAY")
    assert [line["reason"] for line in lines] == ["no text yet", "Redis: AWAY"]
