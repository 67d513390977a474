"""Walks through lists against the naive answer, on a real Redis."""

import json
import random
from decimal import Decimal
from itertools import product
from operator import itemgetter
from typing import Any

import pytest
from redis import Redis
from redis.cluster import RedisCluster

from tests.fields import SORT_FIELDS
from tests.integration.client import BEARER, Api, running
from tests.integration.exported import filters, read_ndjson
from tests.integration.lines import make_live
from tests.integration.naive import Request, answer
from tests.integration.queries import random_request, shown_as_json
from tests.integration.seed import go_live, make_groups, serve, write
from tests.integration.ways import WAYS, force
from tests.thorough import thorough

GROUPS = make_groups(random.Random(20260603), 1000)
QUERIES = 40
PATH = "/admin/order-groups"
QUICK_WAYS = (
    "as it is",
    "look-ups",
    "masks, then a walk",
    "masks, then slices",
    "prepared masks",
    "records afterwards",
)
EACH_WAY = [*QUICK_WAYS, *thorough(*(way for way in WAYS if way not in QUICK_WAYS))]
# More pages than any walk of a test has.
PAGES_MAX = 2000
# Characters of a target, all below which have a link.
LINKED_LENGTH_MIN = 4000


def walked(api: Api, query: str) -> tuple[list[Any], set[int]]:
    """All rows, and the counts that the pages had. Follows the links, which lead where `next` does."""
    rows: list[Any] = []
    counts = set()
    path = f"{PATH}?{query}&after="
    for _ in range(PAGES_MAX):
        response = api.get(path)
        assert response.status_code == 200, (path, response.text)
        page = json.loads(response.content, parse_float=Decimal)
        assert list(page) == ["order_groups", "count", "offset", "limit", "next"]
        rows += page["order_groups"]
        counts.add(page["count"])
        if page["next"] is None:
            assert "Link" not in response.headers
            return rows, counts
        if "Link" not in response.headers:
            assert len(path) > LINKED_LENGTH_MIN, "only long targets have no link"
            path = f"{PATH}?{query}&after={page['next']}"
            continue
        path, _, rel = response.headers["Link"].partition("; ")
        path = path.removeprefix("<").removesuffix(">")
        assert rel == 'rel="next"'
        assert path.endswith(f"&after={page['next']}")
    raise AssertionError("a walk without an end")


def order(request: Request) -> str:
    return ("-" if request.descending else "") + request.sort


@pytest.mark.parametrize("way", EACH_WAY)
@pytest.mark.parametrize("shards", [1, 3, *thorough(16)])
def test_a_walk_is_the_whole_list(
    redis: "Redis", redis_url: str, way: str, shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(monkeypatch, **WAYS[way])
    serve(redis, GROUPS, shards=shards)
    rng, counts = random.Random(7), []
    with running(redis_url) as api:
        api.wait_until_ready()
        for _ in range(QUERIES):
            request = random_request(rng, GROUPS)
            request.offset, request.limit = 0, len(GROUPS)
            wanted = shown_as_json(answer(GROUPS, request, shards))
            limit = rng.choice((37, 200, 1000))
            query = f"limit={limit}&order={order(request)}&{filters(rng, request)}"
            rows, of_pages = walked(api, query)
            assert rows == wanted["order_groups"], query
            assert of_pages == {wanted["count"]}
            counts.append(wanted["count"])
    assert sum(count > 0 for count in counts) > len(counts) / 2
    assert sum(count > 100 for count in counts) > len(counts) / 10


@pytest.mark.parametrize("shards", [1, 3])
def test_each_sort_is_walked_row_by_row(redis: "Redis", redis_url: str, shards: int) -> None:
    """So that a mark lies between any two rows: of equal values, of other shards, without a display_id."""
    groups = GROUPS[:50]
    serve(redis, groups, shards=shards)
    with running(redis_url) as api:
        for sort, descending, status in product(SORT_FIELDS, (False, True), (None, "completed")):
            request = Request(limit=1000, sort=sort, descending=descending)
            if status:
                request.any_of["status"] = [status]
            wanted = shown_as_json(answer(groups, request, shards))
            rows, _ = walked(api, f"limit=1&order={order(request)}" + (f"&status={status}" if status else ""))
            assert rows == wanted["order_groups"]


def test_a_cluster_is_walked_and_exported(cluster_url: str) -> None:
    shards = 16
    with RedisCluster.from_url(cluster_url) as client:
        write(client, GROUPS, shards=shards)
        go_live(client, shards=shards)
    request = Request(limit=1000, sort="total", descending=True, any_of={"status": ["completed"]})
    wanted = shown_as_json(answer(GROUPS, request, shards))
    with running(cluster_url) as api:
        rows, counts = walked(api, "limit=37&order=-total&status=completed")
        exported, vanished = read_ndjson(api.get(f"{PATH}/export?status=completed&format=ndjson").content)
    assert (rows, counts) == (wanted["order_groups"], {wanted["count"]})
    assert sorted(exported, key=itemgetter("id")) == sorted(rows, key=itemgetter("id"))
    assert vanished == 0


def first_mark(api: Api, query: str = "order=total&limit=5") -> str:
    return str(api.list(f"{query}&after=")["next"])


def refusal(api: Api, query: str) -> str:
    response = api.get(f"{PATH}?{query}")
    assert (response.status_code, response.json()["type"]) == (400, "invalid_data")
    return str(response.json()["message"])


def test_a_mark_of_another_list_is_refused(api: Api) -> None:
    mark = first_mark(api)
    assert "of this order" in refusal(api, f"order=-total&after={mark}")
    assert "of these filters" in refusal(api, f"order=total&status=completed&after={mark}")
    assert "a mark from 'next'" in refusal(api, f"order=total&after={mark[:-3]}")
    assert "but got both" in refusal(api, f"order=total&after={mark}&offset=5")
    assert api.list(f"order=total&limit=7&fields=id&after={mark}")["count"] == len(GROUPS)


@pytest.mark.parametrize("query", ["", "&status=completed", "&q=og_"])
def test_a_mark_of_another_generation_is_refused(redis: "Redis", api: Api, query: str) -> None:
    api.wait_until_ready()
    mark = first_mark(api, "order=total&limit=5" + query)
    make_live(redis, 0, 1)
    expected = "Invalid request: Expected: a mark of the active generation for field 'after', but got: one of another"
    assert refusal(api, f"order=total&after={mark}" + query) == expected


@pytest.mark.parametrize(
    "query", ["", "order=total", "status=completed&order=-display_id", "customer_id=cus_1", "q=og_"]
)
def test_what_is_counted_beside_each_page_is_of_the_whole_list(api: Api, query: str) -> None:
    api.wait_until_ready()
    counted = "facets=status:all,seller_id&sums=total"
    whole = api.list(f"limit=0&{counted}&{query}")
    mark, pages = "", 0
    while mark is not None and pages < 3:
        page = api.list(f"limit=2&{counted}&{query}&after={mark}")
        assert {name: page[name] for name in ("count", "facets", "sums")} == {
            name: whole[name] for name in ("count", "facets", "sums")
        }
        mark, pages = page["next"], pages + 1
    assert pages > 1


def test_a_walk_is_answered_with_304_while_nothing_changes(api: Api) -> None:
    path = f"{PATH}?limit=5&after={first_mark(api, 'limit=5')}"
    response = api.get(path)
    tag = response.headers["ETag"]
    assert api.get(path, {**BEARER, "If-None-Match": tag}).status_code == 304


def test_the_end_of_a_walk(redis: "Redis", api: Api) -> None:
    assert api.list("limit=1000&after=")["next"] is None
    assert api.list("limit=999&after=")["next"] is not None
    assert api.list("status=nothing&after=") == {
        **{"order_groups": [], "count": 0, "offset": 0, "limit": 50, "next": None}
    }
    redis.delete("og:live")
    assert api.list("after=")["next"] is None
