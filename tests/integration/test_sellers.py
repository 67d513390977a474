"""Sellers that are counted by the rows of their groups in many calls, with a commit between any two of them.

The events say what is right, as in test_differential.py: a facet must be that of all events committed before it.
"""

import asyncio
import random
from collections.abc import Iterator, Sequence

import pytest

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.query.calls import SELLERS_FIRST
from projector.readmodel.query.engine import Engine
from projector.readmodel.query.explain import Round
from projector.readmodel.query.page import listing, sellers
from projector.readmodel.query.page.sellers import Sellers
from tests.integration.naive import Request
from tests.integration.queries import random_request
from tests.integration.shop import CHANGED, Shop, asked, check, opened
from tests.integration.test_differential import SAMPLE
from tests.integration.ways import force
from tests.thorough import thorough


@pytest.fixture
def shop(redis_url: str) -> Iterator[Shop]:
    with opened(redis_url) as shop:
        yield shop


@pytest.fixture(autouse=True)
def _in_small_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, ROWS_AT_ONCE=0, SELLERS_WORK=-1, AGAIN_GROUPS=30)
    monkeypatch.setattr(sellers, "GROUPS_MAX", 15)


@pytest.mark.parametrize("queries", [15, *thorough(60)])
def test_what_changes_between_the_calls(
    shop: Shop, redis_url: str, monkeypatch: pytest.MonkeyPatch, queries: int
) -> None:
    rng = random.Random(34)
    calls: list[int] = []
    begun: list[int] = []
    trimmed: list[bool] = []
    # Whether the groups to read anew were known.
    known: list[bool] = []

    class Disturbed(Sellers):
        def begin(self, live: ActiveGeneration, replies: Sequence[Sequence[object]]) -> None:
            assert [reply[1] for reply in replies] == [SELLERS_FIRST]
            begun[-1] += 1
            if begun[-1] > 1:
                known.extend(len(reply[2]) == 4 for reply in replies if isinstance(reply[2], list))
            super().begin(live, replies)

        def take(self, replies: Sequence[object]) -> None:
            super().take(replies)
            calls[-1] += 1
            shop.change(rng.choice((0, 1, 3, 20)))
            # As if more had changed than is kept.
            if not trimmed[-1] and rng.random() < 0.02:
                trimmed[-1] = shop.client.zremrangebyrank(CHANGED, 0, -2) > 0

    monkeypatch.setattr(listing, "Sellers", Disturbed)

    async def ask() -> int:
        engine, found = Engine(redis_url, 5000, 1, 0), 0
        for _ in range(queries):
            request = random_request(rng, SAMPLE)
            request.q, request.facets = "", {"seller_id": rng.random() < 0.4, "status": False}
            request.facet_limit = rng.choice((1, 20, 100))
            calls.append(0)
            begun.append(0)
            trimmed.append(False)
            answer = await engine.list(asked(rng, request))
            assert answer.positions == {"orders/0": len(shop.events.events)}
            check(answer, shop, request)
            found += answer.count
        await engine.close()
        return found

    assert asyncio.run(ask()) > 10 * queries
    assert sum(times > 1 for times in calls) > queries / 3
    assert known.count(True) > queries / 5
    assert queries < 50 or False in known


def test_it_is_explained(shop: Shop, redis_url: str) -> None:
    async def ask() -> list[str]:
        engine, rounds = Engine(redis_url, 5000, 1, 0), list[Round]()
        request = Request(any_of={"seller_id": ["sel_1"]}, facets={"seller_id": False})
        check(await engine.list(asked(random.Random(1), request), rounds), shop, request)
        await engine.close()
        return [step.what for found in rounds for shard in found for step in shard.steps]

    steps = asyncio.run(ask())
    assert steps[0] == "sellers"
    assert steps.count("facet") == 1
