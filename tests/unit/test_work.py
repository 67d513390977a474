"""Admission of lists by their cost."""

import asyncio
import random
from collections import Counter

import pytest

from api.errors import OwnLimit, TooMuchWork
from api.middleware import work as module
from api.middleware.work import Work


@pytest.fixture(autouse=True)
def _short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.05)


def test_a_client_has_its_share_and_no_more() -> None:
    async def main() -> None:
        work = Work(16, 64)
        async with work.admitted("one", 16):
            assert (work.in_progress, work.waiting) == (16, 0)
            with pytest.raises(OwnLimit):
                async with work.admitted("one", 1):
                    pass
            async with work.admitted("two", 1), work.admitted("two", 15):
                assert work.in_progress == 32
        assert (work.in_progress, work.waiting) == (0, 0)

    asyncio.run(main())


def test_all_together_have_a_maximum() -> None:
    async def main() -> None:
        work = Work(16, 20)
        async with work.admitted("one", 16):
            with pytest.raises(TooMuchWork):
                async with work.admitted("two", 5):
                    pass
            # What was refused has left nothing behind.
            async with work.admitted("two", 4):
                assert work.in_progress == 20
        assert work.in_progress == 0

    asyncio.run(main())


def test_what_costs_more_than_the_maximum_is_admitted_alone() -> None:
    async def main() -> None:
        work = Work(4, 8)
        async with work.admitted("one", 16):
            assert work.in_progress == 8
        async with work.admitted("one", 3):
            with pytest.raises(OwnLimit):
                async with work.admitted("one", 16):
                    pass

    asyncio.run(main())


def test_those_that_wait_come_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_S", 20.0)

    async def main() -> None:
        work, order = Work(16, 64), []

        async def one(number: int, cost: int) -> None:
            async with work.admitted("one", cost):
                order.append(number)
                await asyncio.sleep(0.005)

        tasks = [asyncio.create_task(one(number, 16 if number % 2 else 1)) for number in range(8)]
        await asyncio.sleep(0)
        assert work.waiting > 0
        await asyncio.gather(*tasks)
        assert order == [*range(8)]

    asyncio.run(main())


def test_one_that_gives_up_is_not_in_the_way_of_smaller_ones() -> None:
    async def main() -> None:
        work = Work(16, 64)
        async with work.admitted("one", 10):
            large = asyncio.create_task(work.run("one", 16, asyncio.Event().wait))
            await asyncio.sleep(0)
            small = asyncio.create_task(work.run("one", 6, _nothing))
            await asyncio.sleep(0)
            assert work.waiting == 2
            large.cancel()
            await small
            assert large.cancelled()

    asyncio.run(main())


def test_only_so_much_waits() -> None:
    async def main() -> None:
        work = Work(1, 64, waiting_max=2)
        async with work.admitted("one", 1):
            tasks = [asyncio.create_task(work.run("one", 1, _nothing)) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(OwnLimit):
                await work.run("one", 1, _nothing)
            assert work.waiting == 2
            await work.run("two", 1, _nothing)
        await asyncio.gather(*tasks)

    asyncio.run(main())


async def _nothing() -> None:
    """Work that is done at once."""


@pytest.mark.parametrize("seed", range(20))
def test_random_work_never_exceeds_its_limits_and_leaves_nothing(seed: int) -> None:
    """Blocks of random costs of five clients, some cancelled, some refused."""

    async def main() -> None:
        chance, work = random.Random(seed), Work(16, 40)
        running: Counter[str] = Counter()
        done: Counter[str] = Counter()

        async def one(client: str, cost: int, seconds: float) -> None:
            try:
                async with work.admitted(client, cost):
                    running[client] += cost
                    assert running[client] <= 16
                    # Those that are admitted, and have not continued yet, count as well.
                    assert running.total() <= work.in_progress <= 40
                    try:
                        await asyncio.sleep(seconds)
                    finally:
                        running[client] -= cost
                done["done"] += 1
            except (OwnLimit, TooMuchWork) as error:
                done[type(error).__name__] += 1

        tasks = []
        for _ in range(200):
            client, cost = f"client {chance.randrange(5)}", chance.choice((1, 1, 1, 4, 16))
            tasks.append(asyncio.create_task(one(client, cost, chance.uniform(0, 0.01))))
            if chance.random() < 0.3:
                await asyncio.sleep(chance.uniform(0, 0.004))
            if chance.random() < 0.2:
                chance.choice(tasks).cancel()
        for error in await asyncio.gather(*tasks, return_exceptions=True):
            assert error is None or isinstance(error, asyncio.CancelledError)
        assert done["done"] > 20
        assert (work.in_progress, work.waiting, running.total()) == (0, 0, 0)
        async with work.admitted("client 0", 16):
            assert work.in_progress == 16

    asyncio.run(main())
