"""The list against the naive answer, on a real Redis."""

import random
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import product
from typing import Any
from urllib.parse import quote

import pytest
from redis import Redis

from tests.integration.client import Api, running
from tests.integration.naive import DEFAULTS, Request, answer
from tests.integration.seed import (
    CHANNELS,
    CUSTOMERS,
    GROUP_NAMES,
    JUNE_MS,
    ORDER_NAMES,
    SELLERS,
    STATUSES,
    TIMES,
    go_live,
    iso,
    make_groups,
    write,
)

GROUPS = make_groups(random.Random(20260601), 1000)
SORTS = ("created_at", "updated_at", "total", "seller_count", "display_id", "id")
ALL_QUERIES = 600
FIELDS: tuple[tuple[str | None, tuple[str, ...], tuple[str, ...]], ...] = (
    (None, DEFAULTS, ORDER_NAMES),
    (None, DEFAULTS, ORDER_NAMES),
    ("", ("id",), ORDER_NAMES),
    ("total,nothing", ("id", "total"), ORDER_NAMES),
    ("+display_id,+statuses", (*DEFAULTS, "display_id", "statuses"), ORDER_NAMES),
    ("-total,-id", tuple(name for name in DEFAULTS if name != "total"), ORDER_NAMES),
    ("*orders", (*DEFAULTS, "orders"), ORDER_NAMES),
    ("orders.*,-orders", DEFAULTS, ORDER_NAMES),
    ("orders.total,cart_id,orders.seller_id", ("id", "cart_id", "orders"), ("seller_id", "total")),
    (",".join(GROUP_NAMES), GROUP_NAMES, ORDER_NAMES),
)


@pytest.fixture
def redis(redis_url: str) -> Iterator["Redis"]:
    with Redis.from_url(redis_url) as client:
        write(client, GROUPS)
        go_live(client)
        yield client


@pytest.fixture
def api(redis: "Redis", redis_url: str) -> Iterator[Api]:
    with running(redis_url) as api:
        yield api


def shown_as_json(value: Any, name: str = "") -> Any:
    """Times as a response shows them; whole decimals are integers in JSON."""
    if isinstance(value, dict):
        return {key: shown_as_json(child, key) for key, child in value.items()}
    if isinstance(value, list):
        return [shown_as_json(child) for child in value]
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return int(value)
    return iso(value) if name in TIMES else value


def expected(request: Request) -> Any:
    return shown_as_json(answer(GROUPS, request))


# --- random requests, and the many ways to write one ---


def random_request(rng: random.Random) -> Request:
    request = Request(limit=rng.choice((0, 1, 7, 50, 1000)), offset=rng.choice((0, 0, 1, 20, 200, 5000)))
    request.sort, request.descending = rng.choice(SORTS), rng.random() < 0.5
    request.fields, request.names, request.order_names = rng.choice(FIELDS)
    if rng.random() < 0.25:
        request.q = rng.choice(("og_", "CUS_1", "strasse", "ß", "a", "%", "_1", "ä", "日", "f\u00ff", '","', "cus_3"))
    if rng.random() < 0.15:
        chosen = [group["id"] for group in rng.sample(GROUPS, rng.choice((1, 5, 400)))]
        request.any_of["id"] = [*chosen, "og_unknown"]
    pools = {"customer_id": CUSTOMERS[2:], "seller_id": SELLERS, "status": STATUSES, "sales_channel_id": CHANNELS[1:]}
    for name, pool in pools.items():
        if rng.random() < 0.3:
            wanted = [str(value) for value in rng.sample(pool, rng.choice((1, 1, 2, 3)))]
            request.any_of[name] = [*wanted, *rng.choice(((), ("nobody",)))]
    for name in ("created_at", "updated_at", "total", "seller_count", "display_id"):
        if rng.random() < 0.2:
            request.ranges[name] = random_operators(rng, name)
    return request


def random_operators(rng: random.Random, name: str) -> dict[str, Any]:
    def value() -> Any:
        group = rng.choice(GROUPS)
        if group[name] is None:
            return 7
        return group[name] + rng.choice((0, 0, 1, -1))

    chosen = rng.sample(("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin"), rng.choice((1, 1, 2, 3)))
    return {key: [value() for _ in range(rng.choice((1, 3)))] if key in ("$in", "$nin") else value() for key in chosen}


def query_string(rng: random.Random, request: Request) -> str:
    pairs = [("limit", str(request.limit)), ("offset", f"{request.offset}{rng.choice(('', '.9', 'rows'))}")]
    pairs.append(("order", ("-" if request.descending else "") + request.sort))
    if request.q:
        pairs.append(("q", request.q))
    if request.fields is not None:
        pairs.append(("fields", request.fields))
    for name, values in request.any_of.items():
        pairs.extend(list_pairs(rng, name, values))
    for name, operators in request.ranges.items():
        for key, operand in operators.items():
            path = rng.choice((f"{name}[{key}]", f"{name}.{key}"))
            if isinstance(operand, list):
                pairs.extend(list_pairs(rng, path, [written(name, value) for value in operand]))
            else:
                pairs.append((path, written(name, operand)))
    rng.shuffle(pairs)
    return "&".join(f"{rng.choice((str, quote))(name)}={quote(value, safe='')}" for name, value in pairs)


def list_pairs(rng: random.Random, name: str, values: Sequence[str]) -> list[tuple[str, str]]:
    if len(values) == 1 and "," in values[0]:
        return [(name, values[0])]  # in brackets it would be split
    style = rng.choice(("repeated", "brackets", "indexed", "commas"))
    if style == "commas" and not any("," in value for value in values):
        return [(f"{name}[]", ",".join(values))]
    if style == "indexed":
        return [(f"{name}[{n}]", value) for n, value in enumerate(values)]
    return [(name + ("[]" if style == "brackets" else ""), value) for value in values]


def written(name: str, value: Any) -> str:
    return iso(value) if name in TIMES else f"{value}"


def test_random_queries(api: Api) -> None:
    rng = random.Random(3)
    counts = []
    for _ in range(ALL_QUERIES):
        request = random_request(rng)
        query = query_string(rng, request)
        wanted = expected(request)
        assert api.list(query) == wanted, query
        counts.append(wanted["count"])
    # The queries must have been worth asking: many match something, some a lot.
    assert sum(count > 0 for count in counts) > ALL_QUERIES / 2
    assert sum(count > 100 for count in counts) > ALL_QUERIES / 8


@pytest.mark.parametrize("filtered", [None, "status", "q"])
def test_pages_are_the_whole_list(api: Api, filtered: str | None) -> None:
    """Page by page, with the border of the missing display ids inside a page."""
    request = Request(limit=97)
    extra = ""
    if filtered == "status":
        request.any_of["status"] = ["completed"]
        extra = "&status=completed"
    elif filtered == "q":
        request.q = "og_"
        extra = "&q=og_"
    for request.sort, request.descending in product(SORTS, (False, True)):
        for request.offset in range(0, len(GROUPS) + 97, 97):
            query = f"limit=97&offset={request.offset}&order={'-' if request.descending else ''}{request.sort}{extra}"
            assert api.list(query) == expected(request), query


def test_the_default_list_is_the_stored_bytes(api: Api, redis: "Redis") -> None:
    body = api.get("/admin/order-groups").content
    newest = answer(GROUPS, Request())["order_groups"]
    rows = []
    for group in newest:
        stored = redis.hget("og:{0.0}:doc", group["id"])
        assert isinstance(stored, bytes)
        cart = stored.rindex(b',"display_id":', 0, stored.index(b',"cart_id":'))
        rows.append(stored[:cart] + b"}")
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
    request = Request(names=(*DEFAULTS, "orders"))
    for group in GROUPS[:40]:
        response = api.get("/admin/order-groups/" + quote(group["id"], safe=""))
        assert response.status_code == 200
        shown = shown_as_json(answer([group], request)["order_groups"][0])
        assert response.json() == {"order_group": only_floats(shown)}


def only_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: only_floats(child) for name, child in value.items()}
    if isinstance(value, list):
        return [only_floats(child) for child in value]
    return float(value) if isinstance(value, Decimal) else value


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
