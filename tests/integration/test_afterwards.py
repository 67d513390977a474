"""Large pages, of which groups and documents are read after the list, with a commit in between.

The events say what is right, as in test_differential.py: an answer must be that of all events committed before it.
"""

import asyncio
import random
from collections.abc import Iterator, Sequence

import pytest

import api.listing
import api.places
from api.batches import Block, Command
from api.documents import TRIES_MAX, Documents, Known
from api.engine import Answer, Engine
from api.live import Live
from api.places import Places
from tests.integration.naive import Request
from tests.integration.queries import random_request
from tests.integration.seed import STATUSES
from tests.integration.shop import Shop, asked, check, force, opened
from tests.integration.test_differential import SAMPLE

QUERIES = 200


@pytest.fixture
def shop(redis_url: str) -> Iterator[Shop]:
    with opened(redis_url) as shop:
        yield shop


def large(rng: random.Random) -> Request:
    """With few filters, so that most pages are full."""
    request = random_request(rng, SAMPLE)
    request.limit, request.offset, request.q = rng.choice((50, 300, 1000)), rng.choice((0, 20, 200)), ""
    request.any_of = {"status": rng.sample(STATUSES, 2)}
    request.ranges = dict(list(request.ranges.items())[:1])
    return request


@pytest.mark.parametrize("listed", ["by the script", "afterwards"])
def test_what_changes_after_the_list(shop: Shop, redis_url: str, monkeypatch: pytest.MonkeyPatch, listed: str) -> None:
    force(monkeypatch, FEW_MEMBERS=-1, FEW_SEARCHED=-1, WALKED_GROUPS=0, LISTED_GROUPS=200)
    force(monkeypatch, TOLD_ROWS=-1, AT_ONCE_LISTED=-1 if listed == "afterwards" else 1000, PART_BYTES=8)
    monkeypatch.setattr(api.places, "SLICE_GROUPS", 100)
    rng = random.Random(41)
    slices: list[int] = []
    # Of each query: of each time that documents were read, whether they were of the list's instant.
    read: list[list[bool]] = []

    known: list[int] = []
    told: list[int] = []
    complete = Known.completed

    def completed(self: Known, ids: Sequence[bytes], rows: Sequence[bytes | None]) -> bytes:
        known.append(len(ids))
        told.append(sum(row is not None for row in rows))
        return complete(self, ids, rows)

    class DisturbedPlaces(Places):
        def take(self, replies: Sequence[object]) -> None:
            super().take(replies)
            shop.change(rng.choice((0, 0, 0, 1)))
            slices.append(len(read))

    class DisturbedDocuments(Documents):
        def commands(self, live: Live) -> list[Command | Block]:
            shop.change(rng.choice((0, 1, 3)))
            return super().commands(live)

        def rows(self, live: Live, replies: Sequence[object]) -> bytes | None:
            rows = super().rows(live, replies)
            read[-1].append(rows is not None)
            shop.change(rng.choice((0, 1, 10)))
            return rows

    monkeypatch.setattr(api.listing, "Places", DisturbedPlaces)
    monkeypatch.setattr(api.listing, "Documents", DisturbedDocuments)
    monkeypatch.setattr(Known, "completed", completed)
    counts = []

    async def ask() -> None:
        engine = Engine(redis_url, 5000, 1, 0)
        for _ in range(QUERIES):
            request = large(rng)
            read.append([])
            found = await engine.list(asked(rng, request))
            check(found, shop, request)
            counts.append(found.count)
        await engine.close()

    asyncio.run(ask())
    assert sum(counts) > 10 * QUERIES
    assert sum(times == [True] for times in read) > QUERIES / 4
    if listed == "afterwards":
        assert len(slices) > QUERIES
        assert sum(False in times and times[-1] for times in read) > QUERIES / 20
        # At last the list and its documents were read together.
        assert sum(times == [False] * TRIES_MAX for times in read) > 3
    else:
        # With the list those that had changed were read again, and no others.
        assert not slices
        assert sum(times == [False] for times in read) > QUERIES / 20
        assert sum(told) < sum(known) / 10


def test_a_redis_that_loses_writes_after_the_list(shop: Shop, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has got others since, and as many: only what they are tells them apart."""
    shop.change(1)
    read: list[bool] = []

    class Losing(Documents):
        def commands(self, live: Live) -> list[Command | Block]:
            if not read:
                shop.swap_change()
            return super().commands(live)

        def rows(self, live: Live, replies: Sequence[object]) -> bytes | None:
            rows = super().rows(live, replies)
            read.append(rows is not None)
            return rows

    monkeypatch.setattr(api.listing, "Documents", Losing)

    async def ask() -> Answer:
        engine = Engine(redis_url, 5000, 1, 0)
        found = await engine.list(asked(random.Random(1), Request(limit=1000)))
        await engine.close()
        return found

    check(asyncio.run(ask()), shop, Request(limit=1000))
    # Nothing is known of what was read: all of it came with the list.
    assert read == [False]
