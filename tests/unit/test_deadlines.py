"""Deadlines behave as asyncio.timeout does."""

import asyncio
import time
from collections.abc import Callable

import pytest
import uvloop

from projector.readmodel.client.deadlines import Deadlines


async def wait(deadlines: Deadlines, seconds: float, work_s: float = 10.0) -> float:
    """Returns the seconds until the time-out; -1 if the work was done before."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    try:
        with deadlines.until(began_s + seconds):
            await asyncio.sleep(work_s)
    except TimeoutError:
        task = asyncio.current_task()
        assert task
        assert task.cancelling() == 0
        return loop.time() - began_s
    return -1


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_deadlines_in_any_order(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> None:
        deadlines = Deadlines()
        times_s = [0.2, 0.05, 0.3, 0.1, 0.0, -1.0, -2.0]
        took_s = await asyncio.gather(*(wait(deadlines, seconds) for seconds in times_s))
        assert all(max(0, want) - 0.01 < took < max(0, want) + 5 for want, took in zip(times_s, took_s, strict=True))
        assert len(deadlines) == 0

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


def test_a_later_deadline_does_not_hide_an_earlier_one() -> None:
    async def main() -> None:
        deadlines = Deadlines()
        later = asyncio.create_task(wait(deadlines, 60, work_s=60))
        await asyncio.sleep(0)
        assert 0 < await wait(deadlines, 0.05, work_s=60) < 30
        assert len(deadlines) == 1
        later.cancel()
        with pytest.raises(asyncio.CancelledError):
            await later
        assert len(deadlines) == 0

    asyncio.run(main())


def test_a_task_that_is_done_in_time_is_not_cancelled() -> None:
    async def main() -> None:
        deadlines = Deadlines()
        for _ in range(5):
            assert await wait(deadlines, 0.5, work_s=0) == -1
        assert len(deadlines) == 0
        await asyncio.sleep(0.6)

    asyncio.run(main())


@pytest.mark.parametrize("expired_too", [False, True])
def test_a_cancellation_from_elsewhere_stays_one(expired_too: bool) -> None:
    async def main() -> None:
        task = asyncio.create_task(wait(Deadlines(), 0.05))
        await asyncio.sleep(0)
        if expired_too:
            # The timer and the other one in the same turn of the loop.
            asyncio.get_running_loop().call_later(0.05, task.cancel)
            time.sleep(0.1)
        else:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(main())


@pytest.mark.parametrize("fault", [ValueError, TimeoutError, asyncio.CancelledError])
def test_other_exceptions_are_not_changed(fault: type[BaseException]) -> None:
    async def main() -> None:
        deadlines = Deadlines()
        found = fault("x")
        with pytest.raises(fault) as raised, deadlines.until(asyncio.get_running_loop().time() + 5):
            raise found
        assert raised.value is found
        assert len(deadlines) == 0

    asyncio.run(main())
