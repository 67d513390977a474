"""Filters whose masks are prepared in many calls, with a commit between any two of them.

The events say what is right, as in test_differential.py: an answer must be that of all events committed before it.
"""

import asyncio
import random
from collections.abc import Iterator, Sequence

import pytest

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.client.errors import Unavailable
from projector.readmodel.query.calls import BEHIND, PREPARE_FIRST
from projector.readmodel.query.engine import Engine
from projector.readmodel.query.explain import Round
from projector.readmodel.query.page import listing
from projector.readmodel.query.page.listing import Answer
from projector.readmodel.query.page.preparing import Preparing
from tests.integration.naive import Request
from tests.integration.queries import random_request
from tests.integration.shop import CHANGED, Shop, asked, check, opened
from tests.integration.test_differential import SAMPLE
from tests.integration.ways import NEVER, force
from tests.thorough import thorough

QUERIES = [20, *thorough(150)]


@pytest.fixture
def shop(redis_url: str) -> Iterator[Shop]:
    with opened(redis_url) as shop:
        yield shop


@pytest.mark.parametrize("queries", QUERIES)
def test_what_changes_between_the_calls(
    shop: Shop, redis_url: str, monkeypatch: pytest.MonkeyPatch, queries: int
) -> None:
    force(monkeypatch, FEW_MEMBERS=NEVER, WORK_AT_ONCE=-1, WORK_OF_A_CALL=0, AGAIN_GROUPS=30)
    rng = random.Random(32)
    codes: list[object] = []
    trimmed: list[int] = []

    class Disturbed(Preparing):
        def begin(self, live: ActiveGeneration, replies: Sequence[Sequence[object]]) -> None:
            codes.extend(reply[1] for reply in replies)
            if rng.random() < 0.3:
                shop.change(rng.choice((1, 3)))
            super().begin(live, replies)

        def take(self, replies: Sequence[object]) -> None:
            super().take(replies)
            shop.change(rng.choice((0, 1, 3, 100)))
            # As if more had changed than is kept. The text would have to be read again, too.
            if rng.random() < 0.02 and not requests[-1].q:
                shop.client.zremrangebyrank(CHANGED, 0, -2)
                trimmed.append(len(codes))

    monkeypatch.setattr(listing, "Preparing", Disturbed)
    requests: list[Request] = []
    counts: list[int] = []
    anew: list[int] = []

    async def listed(engine: Engine, request: Request) -> Answer:
        query = asked(rng, request)
        if not request.q:
            return await engine.list(query)
        try:
            await engine.mirror()
            return await engine.list(query)
        except Unavailable:
            assert trimmed, "nothing was lost, so the text can be brought up to date"
            await engine.mirror()
            return await engine.list(query)

    async def ask() -> None:
        engine = Engine(redis_url, 5000, 1, 0)
        for _ in range(queries):
            request = random_request(rng, SAMPLE)
            requests.append(request)
            before = codes.count(PREPARE_FIRST)
            found = await listed(engine, request)
            assert found.positions == {"orders/0": len(shop.events.events)}
            check(found, shop, request)
            counts.append(found.count)
            anew.append(codes.count(PREPARE_FIRST) - before)
        await engine.close()

    asyncio.run(ask())
    assert sum(counts) > 10 * queries
    assert sum(times > 0 for times in anew) > queries / 2
    # More had changed than one call looks up; or it was not known any more what.
    assert codes.count(BEHIND) > queries / 2
    assert len(trimmed) > queries / 40


def test_many_small_values(shop: Shop, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With lower thresholds: more members than one call sets, and more points than it compares."""
    force(monkeypatch, FEW_MEMBERS=10, WORK_AT_ONCE=50, WORK_OF_A_CALL=100, WALKED_GROUPS=0)
    rng = random.Random(33)
    customers = sorted({one["customer_id"] for one in SAMPLE if one["customer_id"]})
    totals = sorted({one["total"] for one in SAMPLE})
    numbers = sorted({one["display_id"] for one in SAMPLE if one["display_id"] is not None})
    requests = [
        Request(any_of={"customer_id": [*customers, *(f"cus_nobody_{n}" for n in range(300))]}),
        Request(any_of={"customer_id": customers[::2]}, ranges={"total": {"$nin": totals[:300]}}),
        Request(ranges={"total": {"$in": totals[::2]}}),
        Request(ranges={"display_id": {"$nin": numbers[::3]}}),
        Request(any_of={"status": ["pending", "completed"]}, q="1"),
    ]

    async def ask() -> list[str]:
        engine, steps_taken = Engine(redis_url, 5000, 1, 0), []
        await engine.mirror()
        for request in requests:
            for request.sort, request.descending in (("created_at", True), ("total", False), ("display_id", True)):
                for request.offset in (0, 500):
                    rounds: list[Round] = []
                    found = await engine.list(asked(rng, request), rounds)
                    check(found, shop, request)
                    assert found.count > 20
                    what = [step.what for shards in rounds for shard in shards for step in shard.steps]
                    steps_taken.append("prepared" if {"prepare", "prepared"} <= {*what} else "at once")
        await engine.close()
        return steps_taken

    assert asyncio.run(ask()) == ["prepared"] * len(requests) * 6


def test_reading_a_small_set_is_work(shop: Shop, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Members alone would be few enough for one call; each set takes as long as some of them."""
    force(monkeypatch, FEW_MEMBERS=NEVER, WORK_AT_ONCE=len(SAMPLE), WORK_OF_A_CALL=len(SAMPLE))
    customers = sorted({one["customer_id"] for one in SAMPLE if one["customer_id"]})
    request = Request(any_of={"customer_id": [*customers, *(f"cus_nobody_{n}" for n in range(400))]})

    async def ask() -> list[str]:
        engine, rounds = Engine(redis_url, 5000, 1, 0), list[Round]()
        check(await engine.list(asked(random.Random(1), request), rounds), shop, request)
        await engine.close()
        return [step.what for found in rounds for shard in found for step in shard.steps]

    assert "prepared" in asyncio.run(ask())


def test_a_redis_that_loses_writes_between_the_calls(
    shop: Shop, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has got others since, and as many: only what they are tells them apart."""
    force(monkeypatch, FEW_MEMBERS=NEVER, WORK_AT_ONCE=-1, WORK_OF_A_CALL=10**9)
    shop.change(1)
    codes: list[object] = []

    class Losing(Preparing):
        def begin(self, live: ActiveGeneration, replies: Sequence[Sequence[object]]) -> None:
            codes.extend(reply[1] for reply in replies)
            super().begin(live, replies)

        def take(self, replies: Sequence[object]) -> None:
            super().take(replies)
            if len(codes) == 1:
                shop.swap_change()

    monkeypatch.setattr(listing, "Preparing", Losing)
    request = Request(any_of={"status": ["pending", "completed"]})

    async def ask() -> None:
        engine = Engine(redis_url, 5000, 1, 0)
        check(await engine.list(asked(random.Random(1), request)), shop, request)
        await engine.close()

    asyncio.run(ask())
    assert codes == [PREPARE_FIRST, PREPARE_FIRST], "it was to be prepared anew"
