"""The list against the naive answer, on a real Redis."""

import random
from collections.abc import Iterator
from itertools import product
from typing import Any
from urllib.parse import quote

import pytest
from redis import Redis

from tests.buckets import bucket
from tests.fields import DEFAULT_FIELDS, SORT_FIELDS
from tests.integration.client import Api, running
from tests.integration.naive import Request, answer
from tests.integration.queries import only_floats, query_string, random_request, shown_as_json
from tests.integration.seed import JUNE_MS, iso, make_groups, serve
from tests.integration.shop import force
from tests.thorough import thorough

GROUPS = make_groups(random.Random(20260601), 1000)
ALL_QUERIES = 600
FORCED_QUERIES = 200
PAGE = 197
# How select.lua finds a page: thresholds that force it.
NO_SIDES = {"FEW_MEMBERS": -1}
WAYS: dict[str, dict[str, int]] = {
    "as it is": {},
    "member by member": {"FEW_MEMBERS": 10**9, "PROBES_MAX": 10**9},
    "one by one": {**NO_SIDES, "WALKED_GROUPS": 10**9},
    "bitmaps, then a list": {**NO_SIDES, "WALKED_GROUPS": 0, "LISTED_GROUPS": 10**9},
    "bitmaps, then slices, then a list": {**NO_SIDES, "WALKED_GROUPS": 0, "LISTED_GROUPS": 30, "PART_BYTES": 8},
    "bitmaps, then slices, then one by one": {**NO_SIDES, "WALKED_GROUPS": 0, "LISTED_GROUPS": -(10**9)},
    "bitmaps, then parts of them": {**NO_SIDES, "WALKED_GROUPS": 0, "LISTED_GROUPS": -(10**9), "PART_BYTES": 8},
    "bitmaps from many calls": {**NO_SIDES, "AT_ONCE_MEMBERS": -1, "SLICE_MEMBERS": 0},
    "bitmaps of intervals": {**NO_SIDES, "INTERVAL_MEMBERS": -1},
    "documents afterwards": {"TOLD_ROWS": -1},
    "places and documents afterwards": {**NO_SIDES, "WALKED_GROUPS": 0, "TOLD_ROWS": -1, "AT_ONCE_LISTED": -1},
    "bitmaps of members": {**NO_SIDES, "INTERVAL_MEMBERS": 10**9, "AT_ONCE_MEMBERS": 10**9},
}
# The corpus (tests/corpus) has requests of each way.
QUICK_WAYS = ("as it is", "bitmaps, then slices, then a list", "bitmaps from many calls", "documents afterwards")
EACH_WAY = [*QUICK_WAYS, *thorough(*(way for way in WAYS if way not in QUICK_WAYS))]


@pytest.fixture
def redis(redis_url: str) -> Iterator["Redis"]:
    with Redis.from_url(redis_url) as client:
        serve(client, GROUPS)
        yield client


@pytest.fixture
def api(redis: "Redis", redis_url: str) -> Iterator[Api]:
    with running(redis_url) as api:
        yield api


def expected(request: Request) -> Any:
    return shown_as_json(answer(GROUPS, request))


# --- random requests ---


@pytest.mark.parametrize("way", EACH_WAY)
def test_random_queries(api: Api, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, **WAYS[way])
    rng = random.Random(3)
    counts = []
    queries = ALL_QUERIES if way == "as it is" else FORCED_QUERIES
    for _ in range(queries):
        request = random_request(rng, GROUPS)
        query = query_string(rng, request)
        wanted = expected(request)
        assert api.list(query) == wanted, query
        counts.append(wanted["count"])
    # The queries must have been worth asking: many match something, some a lot.
    assert sum(count > 0 for count in counts) > queries / 2
    assert sum(count > 100 for count in counts) > queries / 8


QUICK_PAGES = [*product(["as it is"], [None, "status", "q"]), (QUICK_WAYS[1], "status")]
ALL_PAGES = product(WAYS, [None, "status", "q"])


@pytest.mark.parametrize(
    ("way", "filtered"), [*QUICK_PAGES, *thorough(*(pages for pages in ALL_PAGES if pages not in QUICK_PAGES))]
)
def test_pages_are_the_whole_list(api: Api, filtered: str | None, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page, with the border of the missing display ids inside a page."""
    force(monkeypatch, **WAYS[way])
    request = Request(limit=PAGE)
    extra = ""
    if filtered == "status":
        request.any_of["status"] = ["completed"]
        extra = "&status=completed"
    elif filtered == "q":
        request.q = "og_"
        extra = "&q=og_"
    for request.sort, request.descending in product(SORT_FIELDS, (False, True)):
        for request.offset in range(0, len(GROUPS) + PAGE, PAGE):
            query = (
                f"limit={PAGE}&offset={request.offset}&order={'-' if request.descending else ''}{request.sort}{extra}"
            )
            assert api.list(query) == expected(request), query


@pytest.mark.parametrize("way", EACH_WAY)
def test_nobody_has_a_display_id(redis: "Redis", redis_url: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, **WAYS[way])
    nameless = [{**group, "display_id": None} for group in GROUPS[:300]]
    serve(redis, nameless)
    with running(redis_url) as api:
        for descending, offset in product((False, True), (0, 10)):
            request = Request(limit=20, offset=offset, sort="display_id", descending=descending)
            request.any_of["status"] = ["pending"]
            wanted = shown_as_json(answer(nameless, request))
            assert wanted["count"] > 50
            order = "-display_id" if descending else "display_id"
            assert api.list(f"limit=20&offset={offset}&order={order}&status=pending") == wanted


def alike(rng: random.Random, field: str, start: int, width: int, step: int = 1) -> list[dict[str, Any]]:
    """GROUPS, most of which are near to each other in the field."""
    return [{**group, field: start + rng.randrange(0, width, step)} for group in GROUPS[:800]] + GROUPS[800:]


# Totals so large have a bucket for eight thousand of them.
LARGE = 2**49
# Of display ids, whole times in digits are as good as any.
LONG = 2026_06_01_000_000


@pytest.mark.parametrize(
    ("field", "start", "step"),
    [
        ("created_at", JUNE_MS, 1),
        ("created_at", JUNE_MS, 1000),
        ("total", LARGE, 1),
        ("display_id", LONG, 1),
        ("display_id", -LONG, 1),
    ],
)
@pytest.mark.parametrize("at_once", [3, *thorough(40)])
def test_bounds_among_many_that_are_nearly_alike(
    redis: "Redis", redis_url: str, monkeypatch: pytest.MonkeyPatch, at_once: int, field: str, start: int, step: int
) -> None:
    """Such as the seconds of an import."""
    # These totals have one bucket, what else is tried here has many.
    assert (bucket(field, start) == bucket(field, start + 8000 - step)) == (field == "total")
    rng = random.Random(9)
    groups = alike(rng, field, start, 8000, step)
    serve(redis, groups)
    force(monkeypatch, **NO_SIDES, INTERVAL_MEMBERS=at_once, SLICE_MEMBERS=at_once, AT_ONCE_MEMBERS=at_once)
    values = sorted(group[field] for group in groups[:800])
    found = []
    with running(redis_url) as one:
        for _ in range(60):
            some = sorted(rng.choices(values[100:-100], k=4))
            bounds = rng.choice(({"$gte": some[0]}, {"$gt": some[0], "$lte": some[3]}, {"$lt": some[2]}))
            row = [some[1] + n for n in range(rng.choice((1, 300)))]
            left_out = rng.choice(({}, {"$nin": some[1:3]}, {"$nin": row}))
            request = Request(limit=100, sort=rng.choice(SORT_FIELDS), ranges={field: {**bounds, **left_out}})
            request.any_of["status"] = ["pending", "completed"]
            query = query_string(rng, request)
            wanted = answer(groups, request)
            assert one.list(query) == shown_as_json(wanted), query
            found.append(wanted["count"])
    assert sum(count > 100 for count in found) > 20


@pytest.mark.parametrize(
    ("field", "start"),
    [
        *[("created_at", JUNE_MS), ("display_id", LONG), ("total", -(2**29))],
        *thorough(("total", 1), ("total", 2**29), ("total", LARGE)),
    ],
)
@pytest.mark.parametrize("shards", [1, 3])
def test_pages_of_many_that_are_nearly_alike(
    redis: "Redis", redis_url: str, monkeypatch: pytest.MonkeyPatch, field: str, start: int, shards: int
) -> None:
    groups = alike(random.Random(8), field, start, 8000)
    serve(redis, groups, shards)
    force(monkeypatch, **NO_SIDES, WALKED_GROUPS=5, LISTED_GROUPS=5)

    with running(redis_url) as one:
        # One status alone would be a sorted set in the order of the list.
        for other, descending, offset in product(("completed", "archived"), (False, True), range(0, 500, 60)):
            request = Request(limit=20, offset=offset, sort=field, descending=descending)
            request.any_of["status"] = ["pending", other]
            wanted = shown_as_json(answer(groups, request))
            order = f"-{field}" if descending else field
            assert one.list(f"limit=20&offset={offset}&order={order}&status[]=pending&status[]={other}") == wanted


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("start", ["01K993TSZF", "0" * 35])
def test_pages_of_ids_that_begin_alike(
    redis: "Redis", redis_url: str, monkeypatch: pytest.MonkeyPatch, start: str, shards: int
) -> None:
    """With one time, or for longer than slices tell; and what others in between have in common with them."""
    rng = random.Random(4)
    letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ\0äß🎈"
    ids = {
        f"og_{start[: rng.choice((4, 8, 35, 35, 35))]}{''.join(rng.choices(letters, k=rng.choice((1, 2, 6))))}"
        for _ in GROUPS
    }
    groups = [{**group, "id": group_id} for group, group_id in zip(GROUPS, sorted(ids)[:800], strict=False)]
    assert sum(group["id"].startswith(f"og_{start}") for group in groups) > 300
    groups += GROUPS[800:]
    serve(redis, groups, shards)
    force(monkeypatch, **NO_SIDES, WALKED_GROUPS=5, LISTED_GROUPS=5, PART_BYTES=8)
    with running(redis_url) as one:
        for sort, descending, offset in product(("id", "seller_count"), (False, True), range(0, 400, 50)):
            request = Request(limit=20, offset=offset, sort=sort, descending=descending)
            request.any_of["status"] = ["pending", "completed"]
            wanted = shown_as_json(answer(groups, request))
            assert len(wanted["order_groups"]) == 20
            order = f"-{sort}" if descending else sort
            assert one.list(f"limit=20&offset={offset}&order={order}&status[]=pending&status[]=completed") == wanted


def test_the_default_list_is_the_stored_bytes(api: Api, redis: "Redis") -> None:
    body = api.get("/admin/order-groups").content
    newest = answer(GROUPS, Request())["order_groups"]
    rows = []
    for group in newest:
        stored = redis.hget("og:{0.0}:row", group["id"])
        assert isinstance(stored, bytes)
        rows.append(stored)
    assert body == b'{"order_groups":[%b],"count":%d,"offset":0,"limit":50}' % (b",".join(rows), len(GROUPS))


@pytest.mark.parametrize("name", ["created_at", "updated_at"])
def test_a_time_taken_from_a_response_includes_its_row(api: Api, name: str) -> None:
    for group in GROUPS[:20]:
        moment = quote(iso(group[name]))
        ids = {row["id"] for row in api.list(f"{name}[$lte]={moment}&limit=1000")["order_groups"]}
        assert group["id"] in ids
        ids = {row["id"] for row in api.list(f"{name}={moment}&limit=1000")["order_groups"]}
        assert group["id"] in ids


EMPTY_AND_UNKNOWN = (
    ("customer_id=&status=&sales_channel_id=&seller_id=&q=&created_at=&updated_at=", len(GROUPS)),
    ("with_deleted=true", len(GROUPS)),
    ("id=", 0),
    ("id[]=", 0),
    ("status[]=", 0),
    ("status[]=&status[]=nothing", 0),
    ("status[]=&status[]=pending", sum("pending" in group["statuses"] for group in GROUPS)),
    ("seller_id=sel_0,sel_1", 0),
    ("customer_id=nobody", 0),
    ("created_at[]=", 0),
    ("created_at[$gt]=2026-06-01&created_at[$lt]=2026-06-01", 0),
    ("created_at[$gte]=2026-06-02", sum(group["created_at"] >= JUNE_MS + 86_400_000 for group in GROUPS)),
    ("total[$nin][]=", len(GROUPS)),
)


def test_empty_and_unknown_values(api: Api) -> None:
    for query, count in EMPTY_AND_UNKNOWN:
        assert api.list(query)["count"] == count, query


def test_a_thousand_ids(api: Api) -> None:
    query = "&".join(f"id[{n}]={quote(group['id'], safe='')}" for n, group in enumerate(GROUPS))
    assert api.list(query + "&limit=0") == {"order_groups": [], "count": 1000, "offset": 0, "limit": 0}


def test_an_offset_beyond_every_number(api: Api) -> None:
    offset = 10**300
    assert api.list(f"offset={offset}") == {"order_groups": [], "count": 1000, "offset": offset, "limit": 50}
    assert api.list(f"offset={offset}&q=og")["order_groups"] == []


# --- one group ---


def test_one_group(api: Api) -> None:
    request = Request(names=(*DEFAULT_FIELDS, "orders"))
    for group in GROUPS[:40]:
        response = api.get("/admin/order-groups/" + quote(group["id"], safe=""))
        assert response.status_code == 200
        shown = shown_as_json(answer([group], request)["order_groups"][0])
        assert response.json() == {"order_group": only_floats(shown)}


def test_one_group_with_fields(api: Api) -> None:
    group = GROUPS[-1]
    response = api.get(f"/admin/order-groups/{group['id']}?fields=total")
    assert only_floats(shown_as_json({"id": group["id"], "total": group["total"]})) == response.json()["order_group"]
    response = api.get(f"/admin/order-groups/{group['id']}?limit=1")
    assert response.status_code == 400
    assert response.json() == {"type": "invalid_data", "message": "Invalid request: Unrecognized fields: 'limit'"}


def test_an_unknown_group(api: Api) -> None:
    for group_id in ("og_unknown", "a/b", "%2F", "ä", "\x00", "..", "."):
        response = api.get("/admin/order-groups/" + quote(group_id, safe="").replace(".", "%2E"))
        assert response.status_code == 404
        assert response.json() == {"type": "not_found", "message": f"OrderGroup id not found: {group_id}"}
