"""A client of the stream: what it has not been sent yet, as one event, however slowly it reads."""

import asyncio
from collections import deque
from contextlib import suppress

from api.changes.events import HEARTBEAT, Change, merged
from projector.readmodel.client.deadlines import Deadlines

# Events that a client gets in each second, at most.
EVENTS_PER_S = 5
# Seconds without an event after which a comment shows that the stream lives.
HEARTBEAT_S = 15.0


class Subscriber:
    """One task calls `next`. `expires_s`: Unix time at which its credentials expire, infinite if they do not.

    `deadlines`: of all subscribers, for heartbeats. A timer for each would cost more than to write the event.
    """

    def __init__(self, expires_s: float, deadlines: Deadlines) -> None:
        self.expires_s = expires_s
        self._deadlines = deadlines
        self._unsent: Change | None = None
        self._last = b""
        self._ended = asyncio.Event()
        self._woken = asyncio.Event()
        self._began_s = asyncio.get_running_loop().time()
        # When the last events were due, not when they were written: one that is late does not delay those that follow.
        self._due_s: deque[float] = deque(maxlen=EVENTS_PER_S)

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    def offer(self, change: Change) -> None:
        self._unsent = merged(self._unsent, change)
        self._woken.set()

    def begin(self, change: Change) -> None:
        """Puts a change before those that were offered so far."""
        self._unsent = change if self._unsent is None else merged(change, self._unsent)
        self._woken.set()

    def end(self, last: bytes = b"") -> None:
        """Ends the stream, with a last event. May be called repeatedly; the first call counts."""
        if not self.has_ended:
            self._last = last
            self._ended.set()
            self._woken.set()

    async def next(self) -> bytes:
        """Returns the next part of the stream; empty at its end."""
        loop = asyncio.get_running_loop()
        try:
            # Those of a second come together.
            with self._deadlines.until(int(loop.time()) + HEARTBEAT_S):
                await self._woken.wait()
        except TimeoutError:
            return HEARTBEAT
        next_s = self._due_s[0] + 1.0 if len(self._due_s) == EVENTS_PER_S else 0.0
        if next_s > loop.time():
            await self._rest(next_s)
        if self.has_ended:
            last, self._last = self._last, b""
            return last
        self._woken.clear()
        assert self._unsent is not None, "woken by an offer"
        change, self._unsent = self._unsent, None
        self._due_s.append(max(next_s, change.looked_s, self._began_s))
        return change.encoded

    async def _rest(self, until_s: float) -> None:
        """Returns at that time, or at the end. Meanwhile offers become one event."""
        # The time-out is the regular case.
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                await self._ended.wait()
