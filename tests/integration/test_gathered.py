"""Filters whose masks are put together in many calls, with a commit between any two of them.

The events say what is right, as in test_differential.py: an answer must be that of all events committed before it.
"""

import asyncio
import random
from collections.abc import Iterator, Sequence

import pytest

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.query.engine import Answer, Engine
from projector.readmodel.query.explain import Round
from projector.readmodel.query.page import listing
from projector.readmodel.query.prepare.gather import BEHIND, UNGATHERED, Gathering
from tests.integration.naive import Request
from tests.integration.queries import random_request
from tests.integration.shop import CHANGED, Shop, asked, check, force, opened
from tests.integration.test_differential import SAMPLE

QUERIES = 150
# Members of `changed` are of at most 16 groups.
IN_A_MEMBER = 16


@pytest.fixture
def shop(redis_url: str) -> Iterator[Shop]:
    with opened(redis_url) as shop:
        yield shop


def test_what_changes_between_the_calls(shop: Shop, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, FEW_MEMBERS=-1, AT_ONCE_MEMBERS=-1, SLICE_MEMBERS=0, AGAIN_GROUPS=2 * IN_A_MEMBER)
    rng = random.Random(32)
    codes: list[object] = []
    trimmed: list[int] = []

    class Disturbed(Gathering):
        def begin(self, live: ActiveGeneration, replies: Sequence[Sequence[object]]) -> bool:
            unready = [reply[1] for reply in replies if reply[1] in (UNGATHERED, BEHIND)]
            codes.extend(unready)
            if unready and rng.random() < 0.3:
                shop.change(rng.choice((1, 3)))
            return super().begin(live, replies)

        def take(self, replies: Sequence[object]) -> None:
            super().take(replies)
            shop.change(rng.choice((0, 1, 3, 100)))
            # As if more had changed than is kept.
            if rng.random() < 0.02:
                shop.client.zremrangebyrank(CHANGED, 0, -2)
                trimmed.append(len(codes))

    monkeypatch.setattr(listing, "Gathering", Disturbed)
    counts = []

    async def ask() -> None:
        engine = Engine(redis_url, 5000, 1, 0)
        for _ in range(QUERIES):
            request = random_request(rng, SAMPLE)
            before = codes.count(UNGATHERED)
            found = await engine.list(asked(rng, request))
            assert found.positions == {"orders/0": len(shop.events.events)}
            check(found, shop, request)
            counts.append(found.count)
            anew.append(codes.count(UNGATHERED) - before)
        await engine.close()

    anew: list[int] = []
    asyncio.run(ask())
    assert sum(counts) > 10 * QUERIES
    assert sum(times > 0 for times in anew) > QUERIES / 2
    # More had changed than one call looks up; or it was not known any more what.
    assert codes.count(BEHIND) > QUERIES
    assert len(trimmed) > 3
    assert sum(times > 1 for times in anew) > 3


def test_many_small_values(shop: Shop, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With lower thresholds: more members than one call looks up, and more values than it counts. No page is near."""
    force(monkeypatch, FEW_MEMBERS=10, AT_ONCE_MEMBERS=50, SLICE_MEMBERS=100, WALKED_GROUPS=0)
    rng = random.Random(33)
    customers = sorted({one["customer_id"] for one in SAMPLE if one["customer_id"]})
    totals = sorted({one["total"] for one in SAMPLE})
    numbers = sorted({one["display_id"] for one in SAMPLE if one["display_id"] is not None})
    requests = [
        Request(any_of={"customer_id": [*customers, *(f"cus_nobody_{n}" for n in range(300))]}),
        Request(any_of={"customer_id": customers[::2]}, ranges={"total": {"$nin": totals[:300]}}),
        Request(ranges={"total": {"$in": totals[::2]}}),
        Request(ranges={"display_id": {"$nin": numbers[::3]}}),
        Request(any_of={"id": [one["id"] for one in SAMPLE[:900]]}, q="1"),
    ]

    async def ask() -> list[str]:
        engine, told = Engine(redis_url, 5000, 1, 0), []
        for request in requests:
            for request.sort, request.descending in (("created_at", True), ("total", False), ("display_id", True)):
                for request.offset in (0, 500):
                    rounds: list[Round] = []
                    found = await engine.list(asked(rng, request), rounds)
                    check(found, shop, request)
                    assert found.count > 20
                    what = [step.what for shards in rounds for shard in shards for step in shard.steps]
                    told.append("some at a time" if "some at a time" in what else "at once")
        await engine.close()
        return told

    assert asyncio.run(ask()) == ["some at a time"] * len(requests) * 6


@pytest.mark.parametrize("lost", ["a change", "a group"])
def test_a_redis_that_loses_writes_between_the_calls(
    shop: Shop, redis_url: str, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """It has got others since, and as many: only what they are tells them apart."""
    force(monkeypatch, FEW_MEMBERS=-1, AT_ONCE_MEMBERS=-1, SLICE_MEMBERS=10**9)
    shop.change(1)
    begun: list[bool] = []

    class Losing(Gathering):
        def take(self, replies: Sequence[object]) -> None:
            super().take(replies)
            if not begun:
                if lost == "a change":
                    shop.swap_change()
                else:
                    ((group_id, ordinal),) = shop.client.zpopmax("og:{0.0}:ordinal")
                    shop.client.zadd("og:{0.0}:ordinal", {group_id + b"_": ordinal})
            begun.append(self.is_done)

    monkeypatch.setattr(listing, "Gathering", Losing)

    async def ask() -> Answer:
        engine = Engine(redis_url, 5000, 1, 0)
        found = await engine.list(asked(random.Random(1), Request(any_of={"status": ["pending", "completed"]})))
        await engine.close()
        return found

    assert asyncio.run(ask()).count > 1000
    assert begun == [True, True], "it was to be gathered anew"
