"""Pages of whole documents, of which records are read after the list, with commits in between.

The events say what is right, as in test_differential.py: an answer must be that of all events committed before it.
"""

import asyncio
import random
from collections.abc import Iterator, Sequence

import pytest

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.client.batches import Block, Command
from projector.readmodel.client.errors import Unavailable
from projector.readmodel.query.engine import Engine
from projector.readmodel.query.page import listing
from projector.readmodel.query.page.records import Records
from tests.fields import DEFAULT_FIELDS
from tests.integration.naive import Request
from tests.integration.queries import random_request
from tests.integration.seed import STATUSES
from tests.integration.shop import Shop, asked, check, opened
from tests.integration.test_differential import SAMPLE
from tests.integration.ways import WAYS, force
from tests.thorough import thorough

QUERIES = [50, *thorough(120)]


@pytest.fixture
def shop(redis_url: str) -> Iterator[Shop]:
    with opened(redis_url) as shop:
        yield shop


def whole(request: Request) -> Request:
    request.fields, request.names = "*orders", (*DEFAULT_FIELDS, "orders")
    return request


def large(rng: random.Random) -> Request:
    """With few filters, so that most pages are full."""
    request = random_request(rng, SAMPLE)
    request.limit, request.offset, request.q = rng.choice((100, 300, 1000)), rng.choice((0, 20)), ""
    request.any_of = {"status": rng.sample(STATUSES, 2)}
    request.ranges = dict(list(request.ranges.items())[:1])
    return whole(request)


@pytest.mark.parametrize("queries", QUERIES)
@pytest.mark.parametrize("records_at_once", [1000, *thorough(20)])
@pytest.mark.parametrize("way", ["as it is", *thorough("masks, then slices and a list", "look-ups")])
def test_what_changes_after_the_list(
    shop: Shop, redis_url: str, monkeypatch: pytest.MonkeyPatch, way: str, records_at_once: int, queries: int
) -> None:
    """Something may change before and after the records are read, often some of the page."""
    force(monkeypatch, **WAYS[way], RECORD_BYTES=1)
    monkeypatch.setattr("projector.readmodel.query.page.records.RECORDS_MAX", records_at_once)
    rng = random.Random(43)
    # Of each list: whether its records, each time that they were read, were of its commit.
    lists: list[list[bool]] = []

    def disturb(orders: Sequence[int]) -> None:
        """The more calls a page takes, the more rarely: a page that changes is read anew."""
        if rng.random() < records_at_once / 1000:
            shop.change(rng.choice(orders))

    class Disturbed(Records):
        def commands(self, live: ActiveGeneration) -> list[Command | Block]:
            disturb((0, 0, 1, 10))
            return super().commands(live)

        def take(self, replies: Sequence[object]) -> None:
            super().take(replies)
            if self.is_done:
                lists[-1].append(self.is_right)
            disturb((0, 1, 3))

    monkeypatch.setattr(listing, "Records", Disturbed)
    rows = []

    async def ask() -> None:
        engine = Engine(redis_url, 5000, 1, 0)
        for _ in range(queries):
            request = large(rng)
            lists.append([])
            found = await engine.list(asked(rng, request))
            check(found, shop, request)
            rows.append(len(found.records))
        await engine.close()

    asyncio.run(ask())
    assert sum(rows) > 20 * queries
    # Whatever was read before is dropped; only what is right is an answer.
    assert all(one[-1] and not any(one[:-1]) for one in lists if one)
    assert sum(one == [True] for one in lists) > queries / 4
    assert sum(len(one) > 1 for one in lists) > queries / 20


@pytest.mark.parametrize("orders", [50, 1500])
def test_a_page_that_changes_again_and_again(
    shop: Shop, redis_url: str, monkeypatch: pytest.MonkeyPatch, orders: int
) -> None:
    """By update, so that what changes is on it; also more than are looked at."""
    force(monkeypatch, RECORD_BYTES=1)
    disturbed = 0

    class Disturbed(Records):
        def commands(self, live: ActiveGeneration) -> list[Command | Block]:
            nonlocal disturbed
            disturbed += 1
            if disturbed % 4:
                shop.change(orders)
            return super().commands(live)

    monkeypatch.setattr(listing, "Records", Disturbed)

    async def ask() -> None:
        engine = Engine(redis_url, 60_000, 1, 0)
        for offset in (0, 100):
            request = whole(Request(limit=1000, offset=offset, sort="updated_at", any_of={"status": ["pending"]}))
            check(await engine.list(asked(random.Random(2), request)), shop, request)
        await engine.close()

    asyncio.run(ask())
    assert disturbed == 8, "each was to be read anew thrice"


def test_a_page_that_never_stands_still_is_given_up(
    shop: Shop, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(monkeypatch, RECORD_BYTES=1)

    class Disturbed(Records):
        def commands(self, live: ActiveGeneration) -> list[Command | Block]:
            shop.change(300)
            return super().commands(live)

    monkeypatch.setattr(listing, "Records", Disturbed)

    async def ask() -> None:
        engine = Engine(redis_url, 60_000, 1, 0)
        with pytest.raises(Unavailable, match="the list changed faster than it was read, 12 times"):
            await engine.list(asked(random.Random(1), whole(Request(limit=1000))))
        await engine.close()

    asyncio.run(ask())


def test_a_redis_that_loses_writes_after_the_list(shop: Shop, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has got others since, and as many: only what they are tells them apart."""
    force(monkeypatch, RECORD_BYTES=1)
    shop.change(1)
    read: list[bool] = []

    class Losing(Records):
        def commands(self, live: ActiveGeneration) -> list[Command | Block]:
            if not read:
                shop.swap_change()
            return super().commands(live)

        def take(self, replies: Sequence[object]) -> None:
            super().take(replies)
            read.append(self.is_right)

    monkeypatch.setattr(listing, "Records", Losing)
    request = whole(Request(limit=1000))

    async def ask() -> None:
        engine = Engine(redis_url, 5000, 1, 0)
        check(await engine.list(asked(random.Random(1), request)), shop, request)
        await engine.close()

    asyncio.run(ask())
    assert read == [False, True]
