"""An incident is two lines of the log, however many requests fail."""

import asyncio

from structlog.testing import capture_logs

from api.middleware.incident import Incident


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
    assert lines[1]["requests"] == 20
    assert 0.09 < lines[1]["lasted_s"] < 5
    assert (lines[2]["reason"], lines[2]["refusal"], lines[3]["requests"]) == ("away again", "-", 1)
