"""Large pages, of which groups and documents are read after the list, with a commit in between.

The events say what is right, as in test_differential.py: an answer must be that of all events committed before it.
"""

import asyncio
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.client.batches import Block, Command
from projector.readmodel.query.engine import Answer, Engine
from projector.readmodel.query.page import known, listing, places
from projector.readmodel.query.page.documents import ROWS_MAX, Documents
from projector.readmodel.query.page.known import CHANGES_MAX, Known
from projector.readmodel.query.page.places import Places
from tests.fields import DEFAULT_FIELDS
from tests.integration.naive import Request
from tests.integration.queries import random_request
from tests.integration.seed import STATUSES
from tests.integration.shop import Shop, asked, check, force, opened
from tests.integration.test_differential import SAMPLE
from tests.thorough import thorough

QUERIES = 120


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


class Watched:
    """What is done for each list: whether what was read after it was of its moment; what was told with later ones, each
    time: how many groups.
    """

    def __init__(self) -> None:
        self.was_right: list[bool] = []
        self.told: list[int] = []


@pytest.fixture
def watched(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> list[Watched]:
    """One for each list, where the test adds them. Something may change between any two calls."""
    rng = random.Random(43)
    lists: list[Watched] = []

    class DisturbedPlaces(Places):
        def take(self, replies: Sequence[object]) -> None:
            super().take(replies)
            shop.change(rng.choice((0, 0, 0, 1)))

    class DisturbedDocuments(Documents):
        def commands(self, live: ActiveGeneration) -> list[Command | Block]:
            shop.change(rng.choice((0, 1, 3)))
            return super().commands(live)

        def take(self, live: ActiveGeneration, replies: Sequence[object]) -> bool:
            is_right = super().take(live, replies)
            lists[-1].was_right.append(is_right)
            shop.change(rng.choice((0, 1, 10)))
            return is_right

    class DisturbedKnown(Known):
        def renew(self, reply: Sequence[object]) -> None:
            super().renew(reply)
            told: Any = reply[5]
            lists[-1].told.append(len(told[1]))
            shop.change(rng.choice((0, 1, 10)))

    monkeypatch.setattr(listing, "Places", DisturbedPlaces)
    monkeypatch.setattr(listing, "Documents", DisturbedDocuments)
    monkeypatch.setattr(listing, "Known", DisturbedKnown)
    return lists


@pytest.mark.parametrize(
    ("listed", "most"),
    [
        *[("by the script", 100), ("afterwards", 5)],
        *thorough(("by the script", 5), ("now and then", 5), ("now and then", 100), ("afterwards", 100)),
    ],
)
def test_what_changes_after_the_list(
    shop: Shop, redis_url: str, monkeypatch: pytest.MonkeyPatch, watched: list[Watched], listed: str, most: int
) -> None:
    """`now and then`: the script lists what has few groups, so that it may tell another form than before."""
    force(monkeypatch, FEW_MEMBERS=-1, WALKED_GROUPS=0, LISTED_GROUPS=200, PART_BYTES=8)
    force(
        monkeypatch, TOLD_ROWS=-1, AT_ONCE_LISTED={"by the script": 1000, "now and then": 290, "afterwards": -1}[listed]
    )
    monkeypatch.setattr(places, "SLICE_GROUPS", 100)
    # Whole documents in one part, too: here it is counted how often they are read.
    monkeypatch.setattr(listing, "FIRST_ROWS", ROWS_MAX)
    monkeypatch.setattr(known, "TOLD_HEADS", most)
    monkeypatch.setattr(known, "TOLD_WHOLE", most)
    rng = random.Random(41)
    rows = []

    async def ask() -> None:
        engine = Engine(redis_url, 5000, 1, 0)
        for _ in range(QUERIES):
            request = large(rng)
            watched.append(Watched())
            found = await engine.list(asked(rng, request))
            check(found, shop, request)
            rows.append(min(request.limit, max(0, found.count - request.offset)))
        await engine.close()

    asyncio.run(ask())
    assert sum(rows) > 50 * QUERIES
    assert sum(one.was_right == [True] and not one.told for one in watched) > QUERIES / 4
    again = [one for one in watched if one.told]
    assert len(again) > QUERIES / 20
    # Nothing is read after a list that is told again, and few groups are told with it.
    assert all(len(one.was_right) <= 2 for one in watched)
    assert all(told <= most * 2**n for one in again for n, told in enumerate(one.told))
    assert sum(told for one in again for told in one.told) < sum(rows) / 10
    if (listed, most) == ("afterwards", 5):
        # What was missing did not come with one list.
        assert sum(len(one.told) > 1 for one in again) > 1


@pytest.mark.parametrize(
    ("fields", "names", "orders"),
    [
        *[(None, DEFAULT_FIELDS, 150), ("*orders", (*DEFAULT_FIELDS, "orders"), 900)],
        *thorough((None, DEFAULT_FIELDS, 900), ("*orders", (*DEFAULT_FIELDS, "orders"), 150)),
    ],
)
def test_all_of_a_page_changes_again_and_again(
    shop: Shop, redis_url: str, monkeypatch: pytest.MonkeyPatch, fields: str | None, names: tuple[str, ...], orders: int
) -> None:
    """As where a projector catches up, and the list is by update: hundreds between any two calls, also more than are
    looked at, but not between all of them.
    """
    force(monkeypatch, FEW_MEMBERS=-1, WALKED_GROUPS=0, AT_ONCE_LISTED=-1)
    if orders <= CHANGES_MAX:
        # Whole documents in one part: between several, more would change than are looked at.
        monkeypatch.setattr(listing, "FIRST_ROWS", ROWS_MAX)
    renewals: list[object] = []
    renew = Known.renew

    def renewed(self: Known, reply: Sequence[object]) -> None:
        renew(self, reply)
        told: Any = reply[5]
        renewals.append(told[0])
        # What is told at a time has become most by then.
        if orders <= CHANGES_MAX or len(renewals) % 10 < 4:
            shop.change(orders)

    class Disturbed(Documents):
        def commands(self, live: ActiveGeneration) -> list[Command | Block]:
            shop.change(orders)
            return super().commands(live)

    monkeypatch.setattr(listing, "Documents", Disturbed)
    monkeypatch.setattr(Known, "renew", renewed)

    async def ask() -> None:
        engine = Engine(redis_url, 60_000, 1, 0)
        for offset in (0, 100):
            request = Request(limit=1000, offset=offset, sort="updated_at", descending=True)
            request.fields, request.names = fields, names
            request.any_of = {"status": ["pending", "completed"]}
            check(await engine.list(asked(random.Random(2), request)), shop, request)
        await engine.close()

    asyncio.run(ask())
    assert len(renewals) >= 4
    assert (None in renewals) == (orders > CHANGES_MAX)


def test_a_redis_that_loses_writes_after_the_list(shop: Shop, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has got others since, and as many: only what they are tells them apart."""
    shop.change(1)
    read: list[bool] = []

    class Losing(Documents):
        def commands(self, live: ActiveGeneration) -> list[Command | Block]:
            if not read:
                shop.swap_change()
            return super().commands(live)

        def take(self, live: ActiveGeneration, replies: Sequence[object]) -> bool:
            is_right = super().take(live, replies)
            read.append(is_right)
            return is_right

    monkeypatch.setattr(listing, "Documents", Losing)

    async def ask() -> Answer:
        engine = Engine(redis_url, 5000, 1, 0)
        found = await engine.list(asked(random.Random(1), Request(limit=1000)))
        await engine.close()
        return found

    renewed: list[Any] = []
    renew = Known.renew

    def watched(self: Known, reply: Sequence[object]) -> None:
        renew(self, reply)
        told: Any = reply[5]
        renewed.append(told)

    monkeypatch.setattr(Known, "renew", watched)
    check(asyncio.run(ask()), shop, Request(limit=1000))
    # Nothing is known of what was read: all of it came with lists, some at a time.
    assert read == [False]
    assert len(renewed) > 1
    assert renewed[0][0] is None
