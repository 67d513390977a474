"""Logs an outage of Redis, and why the process is not ready: at once and then once a minute, whatever fails."""

import asyncio
from time import monotonic

import structlog

# Seconds without a failed request after which the incident is over.
QUIET_S = 5.0
# How often the log is reminded of what lasts, in seconds.
REMIND_S = 60.0

_log = structlog.get_logger("api")


class Incident:
    def __init__(self, quiet_s: float = QUIET_S, remind_s: float = REMIND_S) -> None:
        self._quiet_s, self._remind_s = quiet_s, remind_s
        self._began_s = self._last_s = self._logged_s = 0.0
        self._last_reason = ""
        # Failed requests of the current incident; 0 while there is none.
        self._requests = 0

    def record(self, reason: str, refusal: str | None, request_id: str) -> None:
        """Counts a failed request."""
        self._last_s, self._last_reason = monotonic(), reason
        if self._requests == 0:
            self._began_s = self._logged_s = self._last_s
            _log.warning("unavailable", reason=reason, refusal=refusal or "-", request_id=request_id)
            self._check_in(self._quiet_s)
        elif self._last_s - self._logged_s >= self._remind_s:
            self._logged_s = self._last_s
            lasts_s = round(self._last_s - self._began_s)
            _log.warning("still unavailable", reason=reason, lasts_s=lasts_s, requests=self._requests)
        self._requests += 1

    def _check_in(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._check)

    def _check(self) -> None:
        left_s = self._last_s + self._quiet_s - monotonic()
        if left_s > 0:
            self._check_in(left_s)
            return
        lasted_s = round(self._last_s - self._began_s, 3)
        _log.info("available again", lasted_s=lasted_s, requests=self._requests, last_reason=self._last_reason)
        self._requests = 0


class Readiness:
    """What /health/ready found last."""

    def __init__(self, remind_s: float = REMIND_S) -> None:
        self._remind_s = remind_s
        # As logged last; None while the process is ready.
        self._reason: str | None = None
        self._began_s = self._logged_s = 0.0

    def record(self, problem: str | None) -> None:
        """`problem`: why the process is not ready; None if it is."""
        now_s = monotonic()
        if problem is None:
            if self._reason is not None:
                _log.info("ready", lasted_s=round(now_s - self._began_s, 3), reason=self._reason)
                self._reason = None
            return
        if self._reason is None:
            self._began_s = now_s
        if self._reason is None or now_s - self._logged_s >= self._remind_s:
            self._logged_s, self._reason = now_s, problem
            _log.warning("not ready", reason=problem, lasts_s=round(now_s - self._began_s))
