"""Requests that wait until the read model reflects what their client has seen written.

Nobody polls: commits are told once, to all who wait. What was told decides only when to look again; whether an
answer is fresh enough is read off the answer itself.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from api.errors import NotYet
from api.freshness.subscription import Subscription
from projector.readmodel.query.engine import Engine
from projector.readmodel.query.positions import Positions, missing

# How long the subscription outlives the last one who waited, in seconds.
IDLE_S = 30.0


class Reflects(Protocol):
    """What an answer tells of itself."""

    @property
    def positions(self) -> Positions: ...


A = TypeVar("A", bound=Reflects)


class Client(Protocol):
    """Who waits. While it does it steps aside: it keeps nobody from work, and nothing limits its time but we."""

    async def gone(self) -> None:
        """Returns once the client has gone."""

    def step_aside(self) -> None: ...

    def step_back(self) -> None: ...


class Waiting:
    """`wait_ms`: how long one request waits at most; 0: not at all."""

    def __init__(self, engine: Engine, redis_wait_ms: int, wait_ms: int) -> None:
        self._wait_s = wait_ms / 1000
        self._waiters: set[_Waiter] = set()
        self._left_at_s = 0.0
        # The most that was told while the subscription stands. A hint: Redis may have lost it since.
        self._told: dict[str, int] = {}
        self._subscription = Subscription(engine, redis_wait_ms / 1000, self._tell, self._forget, self._needed)

    async def fresh(self, minimum: Positions, ask: Callable[[], Awaitable[A]], client: Client) -> A:
        """The answer to `ask` as soon as it reflects `minimum`. Raises NotYet, and what `ask` raises."""
        if not minimum:
            return await ask()
        if not self._wait_s:
            answer = await ask()
            if missing(answer.positions, minimum):
                raise NotYet("X-Min-Position is not reached, and PROJECTION_WAIT_MS is 0")
            return answer
        deadline_s = asyncio.get_running_loop().time() + self._wait_s
        waiter = _Waiter(minimum)
        waiter.tell(self._told)
        self._waiters.add(waiter)
        self._subscription.open()
        try:
            while True:
                await self._until(waiter, deadline_s, client)
                # What is told from here on may be later than the answer, and must not be missed.
                waiter.expect(minimum)
                answer = await ask()
                if not missing(answer.positions, minimum):
                    return answer
                waiter.tell(answer.positions)
        finally:
            self._waiters.discard(waiter)
            self._left_at_s = asyncio.get_running_loop().time()

    def __len__(self) -> int:
        """Requests that wait now."""
        return len(self._waiters)

    async def close(self) -> None:
        await self._subscription.close()

    async def _until(self, waiter: "_Waiter", deadline_s: float, client: Client) -> None:
        reached = waiter.reached
        if reached.is_set():
            return
        leaving = asyncio.ensure_future(client.gone())
        leaving.add_done_callback(lambda _: reached.set())
        client.step_aside()
        try:
            async with asyncio.timeout_at(deadline_s):
                await reached.wait()
        except TimeoutError:
            raise NotYet(f"X-Min-Position was not reached within {self._wait_s} s") from None
        finally:
            left = leaving.done()
            leaving.cancel()
            client.step_back()
        if left:
            raise NotYet("the client has gone while it waited")

    def _tell(self, positions: Positions) -> None:
        for name, offset in positions.items():
            self._told[name] = max(offset, self._told.get(name, 0))
        for waiter in self._waiters:
            waiter.tell(positions)

    def _forget(self) -> None:
        self._told.clear()

    def _needed(self) -> bool:
        return bool(self._waiters) or asyncio.get_running_loop().time() - self._left_at_s < IDLE_S


class _Waiter:
    """One request: which partitions are still short of what it wants."""

    __slots__ = ("_missing", "reached")

    def __init__(self, minimum: Positions) -> None:
        self.expect(minimum)

    def expect(self, minimum: Positions) -> None:
        self.reached = asyncio.Event()
        self._missing = missing({}, minimum)

    def tell(self, positions: Positions) -> None:
        self._missing = missing(positions, self._missing)
        if not self._missing:
            self.reached.set()
