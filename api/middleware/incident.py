"""A Redis that is away is one incident, however many requests meet it: a line for its begin, and one for its end."""

import asyncio
from time import monotonic

import structlog

# It is over when no request has met it for so long, in seconds.
QUIET_S = 5.0

_log = structlog.get_logger("api")


class Incident:
    def __init__(self, quiet_s: float = QUIET_S) -> None:
        self._quiet_s = quiet_s
        self._began_s = self._last_s = 0.0
        # That have met it; 0 while there is none.
        self._requests = 0

    def meet(self, reason: str, refusal: str | None, request_id: str) -> None:
        """By a request that was refused because of it."""
        self._last_s = monotonic()
        if self._requests == 0:
            self._began_s = self._last_s
            _log.warning("unavailable", reason=reason, refusal=refusal or "-", request_id=request_id)
            self._look_in(self._quiet_s)
        self._requests += 1

    def _look_in(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        left_s = self._last_s + self._quiet_s - monotonic()
        if left_s > 0:
            self._look_in(left_s)
            return
        _log.info("available again", lasted_s=round(self._last_s - self._began_s, 3), requests=self._requests)
        self._requests = 0
