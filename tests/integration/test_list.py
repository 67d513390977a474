"""The list against the naive answer, on a real Redis."""

import random
from decimal import Decimal
from itertools import product
from typing import Any
from urllib.parse import quote

import pytest
from redis import Redis

from tests.fields import DEFAULT_FIELDS, SORT_FIELDS
from tests.integration.client import BEARER, Api, running
from tests.integration.naive import Request, answer
from tests.integration.queries import only_floats, query_string, random_request, shown_as_json
from tests.integration.seed import JUNE_MS, STATUSES, iso, make_groups, serve
from tests.integration.ways import WAYS, force
from tests.thorough import thorough

GROUPS = make_groups(random.Random(20260601), 1000)
QUERIES = 600
QUICK_QUERIES = 100
PAGE = 197
# The corpus (tests/corpus) has requests of each way.
QUICK_WAYS = ("as it is", "look-ups", "masks, then slices", "prepared masks", "records afterwards")
EACH_WAY = [*QUICK_WAYS, *thorough(*(way for way in WAYS if way not in QUICK_WAYS))]


def expected(request: Request) -> Any:
    return shown_as_json(answer(GROUPS, request))


# --- random requests ---


@pytest.mark.parametrize(
    ("way", "queries"), [*product(QUICK_WAYS, [QUICK_QUERIES]), *thorough(*product(WAYS, [QUERIES]))]
)
def test_random_queries(api: Api, way: str, queries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, **WAYS[way])
    rng = random.Random(3)
    counts = []
    for _ in range(queries):
        request = random_request(rng, GROUPS)
        query = query_string(rng, request)
        wanted = expected(request)
        assert api.list(query) == wanted, query
        counts.append(wanted["count"])
    # The queries must have been worth asking: many match something, some a lot.
    assert sum(count > 0 for count in counts) > queries / 2
    assert sum(count > 100 for count in counts) > queries / 8


QUICK_PAGES = [*product(["as it is"], [None, "q"]), (QUICK_WAYS[1], "status")]
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


# Totals that a double has not exactly, and that are stored in 80 bits.
LARGE = 10**17
# Of display ids, whole times in digits are as good as any.
LONG = 2026_06_01_000_000


@pytest.mark.parametrize(
    ("field", "start", "step"),
    [
        ("created_at", JUNE_MS, 1),
        ("total", LARGE, 1),
        ("display_id", -LONG, 1),
        *thorough(
            ("created_at", -62_135_596_800_000, 1000),
            ("total", -LARGE, 1),
            ("total", -4000, 1),
            ("display_id", LONG, 1),
        ),
    ],
)
@pytest.mark.parametrize("way", ["masks, then slices and a list", *thorough("prepared masks", "look-ups")])
def test_bounds_among_many_that_are_nearly_alike(
    redis: "Redis", redis_url: str, monkeypatch: pytest.MonkeyPatch, way: str, field: str, start: int, step: int
) -> None:
    """Such as the seconds of an import."""
    rng = random.Random(9)
    groups = alike(rng, field, start, 8000, step)
    serve(redis, groups)
    force(monkeypatch, **WAYS[way])
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
        *[("created_at", JUNE_MS), ("display_id", LONG), ("total", -4000)],
        *thorough(("total", 1), ("total", LARGE), ("total", -LARGE)),
    ],
)
@pytest.mark.parametrize("shards", [3, *thorough(1)])
def test_pages_of_many_that_are_nearly_alike(
    redis: "Redis", redis_url: str, monkeypatch: pytest.MonkeyPatch, field: str, start: int, shards: int
) -> None:
    groups = alike(random.Random(8), field, start, 8000)
    serve(redis, groups, shards)
    force(monkeypatch, **WAYS["masks, then slices and a list"])

    with running(redis_url) as one:
        # One status alone would be a sorted set in the order of the list.
        for other, descending, offset in product(("completed", "archived"), (False, True), range(0, 500, 60)):
            request = Request(limit=20, offset=offset, sort=field, descending=descending)
            request.any_of["status"] = ["pending", other]
            wanted = shown_as_json(answer(groups, request, shards))
            order = f"-{field}" if descending else field
            assert one.list(f"limit=20&offset={offset}&order={order}&status[]=pending&status[]={other}") == wanted


# Amounts of more decimals than are stored, and such as a double has not; each with its distance from the next total.
EXACT = ("123456789012344.9999999", "123456789012345", "123456789012345.0000001", "-99999999999999.9", "0.0000015")


@pytest.mark.parametrize("way", ["look-ups", "masks, then slices"])
@pytest.mark.parametrize("operator", ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin"])
def test_totals_are_compared_to_the_last_digit(
    api: Api, operator: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(monkeypatch, **WAYS[way])
    for text in EXACT:
        operand = [Decimal(text)] if operator in ("$in", "$nin") else Decimal(text)
        request = Request(limit=0, ranges={"total": {operator: operand}}, any_of={"status": STATUSES})
        query = "&".join(f"status[]={status}" for status in sorted(set(STATUSES)))
        assert api.list(f"limit=0&total[{operator}]={text}&{query}") == shown_as_json(answer(GROUPS, request)), text


@pytest.mark.parametrize("order", ["id", "-id", "nothing"])
def test_an_order_that_there_is_not(api: Api, order: str) -> None:
    response = api.get(f"/admin/order-groups?order={order}")
    assert response.status_code == 400
    assert response.json()["message"] == (
        "Invalid request: Expected: 'created_at, updated_at, total, seller_count, display_id' "
        f"for field 'order', but got: '{order}'"
    )


def test_an_unlisted_group_is_nowhere(api: Api, redis: "Redis") -> None:
    ids: Any = redis.hkeys("og:{0.0}:ordinal")
    unlisted = [name.decode() for name in ids if name.startswith(b"og_unlisted")]
    assert len(unlisted) > 50
    assert api.list("&".join(f"id[]={name}" for name in unlisted))["count"] == 0
    assert api.get(f"/admin/order-groups/{unlisted[0]}").status_code == 404


def test_the_default_list_is_the_stored_bytes(api: Api, redis: "Redis") -> None:
    body = api.get("/admin/order-groups").content
    client: Any = redis
    members = [client.hget("og:{0.0}:ordinal", group["id"]) for group in answer(GROUPS, Request())["order_groups"]]
    # Behind the head, and before the sellers.
    rows = [row[34:].split(b"\xff")[0] for row in client.hmget("og:{0.0}:row", members)]
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


def test_a_slash_at_the_end_changes_nothing(api: Api) -> None:
    assert api.get("/admin/order-groups/?limit=3").content == api.get("/admin/order-groups?limit=3").content
    # Among the first groups are those of unusual ids, such as with an encoded slash.
    for group in GROUPS[:40]:
        path = "/admin/order-groups/" + quote(group["id"], safe="")
        response = api.get(path + "/")
        assert response.status_code == 200
        assert response.content == api.get(path).content


@pytest.mark.parametrize("path", ["export", "explain", "histogram?by=created_at:day", "orders/{}/order-group"])
def test_a_slash_at_the_end_of_another_route_changes_nothing(api: Api, path: str) -> None:
    path, *query = path.split("?")
    base = "/admin/" if "{}" in path else "/admin/order-groups/"
    target = base + path.format(GROUPS[0]["orders"][0]["id"]) + "/" + "".join(f"?{one}" for one in query)
    api.wait_until_ready()
    assert api.get(target).status_code == 200


def test_an_unknown_group(api: Api) -> None:
    for group_id in ("og_unknown", "a/b", "%2F", "ä", "\x00", "..", "."):
        response = api.get("/admin/order-groups/" + quote(group_id, safe="").replace(".", "%2E"))
        assert response.status_code == 404
        assert response.json() == {"type": "not_found", "message": f"OrderGroup id not found: {group_id}"}


def test_the_group_of_an_order(api: Api) -> None:
    """Orders of unusual ids, and several of one group, are found; nothing else is."""
    api.wait_until_ready()
    request = Request(names=(*DEFAULT_FIELDS, "orders"))
    found = 0
    for group in GROUPS[:40]:
        shown = shown_as_json(answer([group], request)["order_groups"][0])
        for order in group["orders"]:
            response = api.get(f"/admin/orders/{quote(order['id'], safe='')}/order-group")
            assert (response.status_code, response.json()) == (200, {"order_group": only_floats(shown)})
            found += 1
    assert found > 50
    order_id = GROUPS[0]["orders"][0]["id"]
    for other in ("order_unknown", GROUPS[0]["id"], order_id[:-1], "a/b", "\x00"):
        response = api.get(f"/admin/orders/{quote(other, safe='')}/order-group")
        assert (response.status_code, response.json()["type"]) == (404, "not_found")
        assert response.json()["message"] == f"Order id not found: {other}"


def test_an_order_of_a_list_with_a_tag(api: Api) -> None:
    api.wait_until_ready()
    path = f"/admin/orders/{quote(GROUPS[-1]['orders'][-1]['id'], safe='')}/order-group?fields=total"
    response = api.get(path)
    assert list(response.json()["order_group"]) == ["id", "total"]
    assert api.get(path, BEARER | {"If-None-Match": response.headers["etag"]}).status_code == 304
    assert api.get(path, BEARER | {"If-None-Match": "*"}).status_code == 304
    assert api.get(f"{path}&limit=1").status_code == 400
    assert api.get(path, {}).status_code == 401
