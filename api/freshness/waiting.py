"""Requests with X-Min-Position wait here until the read model reflects it.

They do not poll: each commit is published once to the process. It only decides when a request reads again; whether an
answer is fresh enough is decided by the positions of that answer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from api.errors import NotYet
from api.freshness.subscription import Subscription
from projector.readmodel.query.engine import Engine
from projector.readmodel.query.positions import Positions, missing

# Seconds that the subscription is kept after the last waiting request.
IDLE_S = 30.0


class Reflects(Protocol):
    """An answer with the positions that it reflects."""

    @property
    def positions(self) -> Positions: ...


A = TypeVar("A", bound=Reflects)


class Client(Protocol):
    """The client of a waiting request, which holds no admission slot while it waits."""

    async def disconnected(self) -> None:
        """Returns once the client has disconnected."""

    def release_slot(self) -> None: ...

    def retake_slot(self) -> None: ...


class Waiting:
    """`wait_ms`: milliseconds that a request waits at most; 0: it does not wait."""

    def __init__(self, engine: Engine, redis_wait_ms: int, wait_ms: int) -> None:
        self._wait_s = wait_ms / 1000
        self._waiters: set[_Waiter] = set()
        self._followers: set[Callable[[], None]] = set()
        self._last_waited_s = 0.0
        # The highest positions reported by this subscription. A hint only: Redis may have lost them since.
        self._reached: dict[str, int] = {}
        self._subscription = Subscription(engine, redis_wait_ms / 1000, self._report, self._forget, self._is_needed)

    async def fresh(self, minimum: Positions, read: Callable[[], Awaitable[A]], client: Client) -> A:
        """Returns the answer of `read` as soon as it reflects `minimum`. Raises NotYet, and what `read` raises."""
        if not minimum:
            return await read()
        if not self._wait_s:
            answer = await read()
            if missing(answer.positions, minimum):
                raise NotYet("X-Min-Position is not reached, and PROJECTION_WAIT_MS is 0")
            return answer
        deadline_s = asyncio.get_running_loop().time() + self._wait_s
        waiter = _Waiter(minimum)
        waiter.report(self._reached)
        self._waiters.add(waiter)
        self._subscription.open()
        try:
            while True:
                await self._wait(waiter, deadline_s, client)
                # A commit that is published from here on may be later than the answer, and must not be missed.
                waiter.reset(minimum)
                answer = await read()
                if not missing(answer.positions, minimum):
                    return answer
                waiter.report(answer.positions)
        finally:
            self._waiters.discard(waiter)
            self._last_waited_s = asyncio.get_running_loop().time()

    def __len__(self) -> int:
        """Returns the number of waiting requests."""
        return len(self._waiters)

    def follow(self, wake: Callable[[], None]) -> None:
        """Calls `wake` after each commit that is published, and about once a second, until `unfollow`."""
        self._followers.add(wake)
        self._subscription.open()

    def unfollow(self, wake: Callable[[], None]) -> None:
        """May be called repeatedly."""
        self._followers.discard(wake)

    async def close(self) -> None:
        await self._subscription.close()

    async def _wait(self, waiter: "_Waiter", deadline_s: float, client: Client) -> None:
        reached = waiter.reached
        if reached.is_set():
            return
        disconnected = asyncio.ensure_future(client.disconnected())
        disconnected.add_done_callback(lambda _: reached.set())
        client.release_slot()
        try:
            async with asyncio.timeout_at(deadline_s):
                await reached.wait()
        except TimeoutError:
            raise NotYet(f"X-Min-Position was not reached within {self._wait_s} s") from None
        finally:
            has_disconnected = disconnected.done()
            disconnected.cancel()
            client.retake_slot()
        if has_disconnected:
            raise NotYet("the client disconnected while it waited")

    def _report(self, positions: Positions) -> None:
        for name, offset in positions.items():
            self._reached[name] = max(offset, self._reached.get(name, 0))
        for waiter in self._waiters:
            waiter.report(positions)
        for wake in self._followers:
            wake()

    def _forget(self) -> None:
        self._reached.clear()

    def _is_needed(self) -> bool:
        return (
            bool(self._waiters or self._followers) or asyncio.get_running_loop().time() - self._last_waited_s < IDLE_S
        )


class _Waiter:
    """A waiting request: the positions that are not reached yet."""

    __slots__ = ("_missing", "reached")

    def __init__(self, minimum: Positions) -> None:
        self.reset(minimum)

    def reset(self, minimum: Positions) -> None:
        self.reached = asyncio.Event()
        self._missing = missing({}, minimum)

    def report(self, positions: Positions) -> None:
        self._missing = missing(positions, self._missing)
        if not self._missing:
            self.reached.set()
