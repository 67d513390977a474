"""Logs an outage of Redis in two lines, at its begin and at its end, however many requests fail."""

import asyncio
from time import monotonic

import structlog

# Seconds without a failed request after which the incident is over.
QUIET_S = 5.0

_log = structlog.get_logger("api")


class Incident:
    def __init__(self, quiet_s: float = QUIET_S) -> None:
        self._quiet_s = quiet_s
        self._began_s = self._last_s = 0.0
        # Failed requests of the current incident; 0 while there is none.
        self._requests = 0

    def record(self, reason: str, refusal: str | None, request_id: str) -> None:
        """Counts a failed request."""
        self._last_s = monotonic()
        if self._requests == 0:
            self._began_s = self._last_s
            _log.warning("unavailable", reason=reason, refusal=refusal or "-", request_id=request_id)
            self._check_in(self._quiet_s)
        self._requests += 1

    def _check_in(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._check)

    def _check(self) -> None:
        left_s = self._last_s + self._quiet_s - monotonic()
        if left_s > 0:
            self._check_in(left_s)
            return
        _log.info("available again", lasted_s=round(self._last_s - self._began_s, 3), requests=self._requests)
        self._requests = 0
