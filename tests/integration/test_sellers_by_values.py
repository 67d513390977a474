"""Sellers that are counted by their bitmaps, the largest first: several are ruled out together."""

import random
from typing import Any

import pytest
from redis import Redis

from tests.integration.client import Api
from tests.integration.naive import Request, answer
from tests.integration.queries import shown_as_json
from tests.integration.seed import Group, make_groups, serve
from tests.integration.ways import force

# Names of a length that has bitmaps, see is_narrow.
LARGE = "sel_large"
SMALL = [f"sel_{n:05}" for n in range(48)]
GROUPS = make_groups(random.Random(7), 2000)
# Of the groups one in so many is archived: of these every small seller has one or two, the large one has half.
ARCHIVED = 25
QUERY = "limit=0&status=archived&facets=seller_id&facet_limit=1"


def test_many_small_sellers_take_little(api: Api, redis: "Redis", monkeypatch: pytest.MonkeyPatch) -> None:
    # Two and more for each seller on its own, where bitmaps are short.
    force(monkeypatch, ROWS_AT_ONCE=0, ROWS_MAX=0, SELLERS_WORK=2 * len(SMALL) - 10)
    groups = [_sold(number, group) for number, group in enumerate(GROUPS)]
    for shards in (1, 3):
        serve(redis, groups, shards)
        found = api.list(QUERY)
        assert found == _expected(groups, shards)
        assert found["facets"]["seller_id"] == [{"value": LARGE, "count": 40}]


@pytest.mark.parametrize("place", [0, 20, 47])
def test_a_small_seller_with_most_of_the_groups(
    api: Api, redis: "Redis", monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """Nothing about its size says so: those that are looked at with it are counted one by one."""
    force(monkeypatch, ROWS_AT_ONCE=0, ROWS_MAX=0, SELLERS_WORK=10**9)
    groups = [_sold(number, group, SMALL[place]) for number, group in enumerate(GROUPS)]
    for shards in (1, 3):
        serve(redis, groups, shards)
        found = api.list(QUERY)
        assert found == _expected(groups, shards)
        assert found["facets"]["seller_id"] == [{"value": SMALL[place], "count": 80}]


def _sold(number: int, group: Group, archived_by: str = "") -> Group:
    """`archived_by`: a seller in all archived groups."""
    is_archived = number % ARCHIVED == 0
    sellers = {SMALL[number % len(SMALL)], *([LARGE] if number % 20 < 9 else [])}
    if is_archived and archived_by:
        sellers.add(archived_by)
    return {**group, "seller_ids": sorted(sellers), "statuses": ["archived" if is_archived else "pending"]}


def _expected(groups: list[Group], shards: int) -> Any:
    request = Request(limit=0, any_of={"status": ["archived"]}, facets={"seller_id": False}, facet_limit=1)
    return shown_as_json(answer(groups, request, shards))
