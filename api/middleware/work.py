"""Admits lists by what they cost: each client a share of the work in progress, all of them together a maximum.

The cost of a list is known from its query. Excess work waits up to WAIT_S, so that a short burst is not refused.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from api.errors import OwnLimit, TooMuchWork

# Cost of the lists in progress: of one client, and of all. The default list costs 1, the most expensive one COST_MAX.
WORK_PER_CLIENT_MAX = 16
WORK_MAX = 64
# Seconds that a list waits for its turn.
WAIT_S = 1.0
# Cost of the lists of one client that may wait: of about as many default lists as are answered within that time.
WAITING_PER_CLIENT_MAX = 400

T = TypeVar("T")


class Work:
    """`waiting_max`: cost of the lists of one client that may wait."""

    def __init__(self, per_client_max: int, maximum: int, waiting_max: int = WAITING_PER_CLIENT_MAX) -> None:
        self._per_client_max = per_client_max
        self._waiting_max = waiting_max
        self._all = _Share(maximum)
        # Of the clients that have work in progress, or waiting.
        self._shares: dict[str, _Share] = {}

    @property
    def in_progress(self) -> int:
        """The cost of the lists in progress."""
        return self._all.taken

    @property
    def waiting(self) -> int:
        """The number of lists that wait."""
        return len(self._all.waiting) + sum(len(share.waiting) for share in self._shares.values())

    @asynccontextmanager
    async def admitted(self, client: str, cost: int) -> AsyncIterator[None]:
        """Counts the block as so much work of the client. Raises OwnLimit, TooMuchWork."""
        share = self._shares.get(client)
        if share is None:
            share = self._shares[client] = _Share(self._per_client_max)
        own, of_all = min(cost, share.maximum), min(cost, self._all.maximum)
        try:
            if not share.take_now(own):
                if share.waiting_cost + own > self._waiting_max:
                    raise OwnLimit
                await share.take(own, OwnLimit())
            try:
                if not self._all.take_now(of_all):
                    await self._all.take(of_all, TooMuchWork())
                try:
                    yield
                finally:
                    self._all.give(of_all)
            finally:
                share.give(own)
        finally:
            if not share.taken and not share.waiting and self._shares.get(client) is share:
                del self._shares[client]

    async def run(self, client: str, cost: int, read: Callable[[], Awaitable[T]]) -> T:
        """Returns the answer of `read`. Raises as `admitted`, and what `read` raises."""
        async with self.admitted(client, cost):
            return await read()


class _Share:
    """A semaphore that counts costs. Waiting requests are served in order, so that none waits for ever."""

    __slots__ = ("maximum", "taken", "waiting")

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.taken = 0
        self.waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting_cost(self) -> int:
        return sum(cost for cost, _ in self.waiting)

    def take_now(self, cost: int) -> bool:
        if self.waiting or self.taken + cost > self.maximum:
            return False
        self.taken += cost
        return True

    async def take(self, cost: int, refusal: Exception) -> None:
        """Raises `refusal` after WAIT_S."""
        turn = asyncio.get_running_loop().create_future()
        entry = cost, turn
        self.waiting.append(entry)
        try:
            async with asyncio.timeout(WAIT_S):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.give(cost)
            elif entry in self.waiting:
                self.waiting.remove(entry)
                # It may have been in the way of a smaller one.
                self._admit()
            if isinstance(error, TimeoutError):
                raise refusal from None
            raise

    def give(self, cost: int) -> None:
        self.taken -= cost
        self._admit()

    def _admit(self) -> None:
        while self.waiting and self.taken + self.waiting[0][0] <= self.maximum:
            cost, turn = self.waiting.popleft()
            if not turn.cancelled():
                self.taken += cost
                turn.set_result(None)
