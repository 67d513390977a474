"""Medusa's JavaScript client against the API in its own process; results are compared with the naive answer."""

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.client import node
from tests.fields import DEFAULT_FIELDS, GROUP_FIELDS
from tests.integration.naive import Request, answer, histogram
from tests.integration.queries import only_floats, random_request, shown_as_json, written
from tests.integration.seed import ODD_IDS, go_live, make_groups, write
from tests.processes import Api, token

GROUPS = make_groups(random.Random(5), 300)
KEY = "sk_test_0123456789"
LIST = "/admin/order-groups"
RANDOM_REQUESTS = 200

Json = dict[str, Any]
Ask = Callable[[Sequence[Json]], list[Json]]


@pytest.fixture
def ask(modules: Path, redis_url: str, tmp_path: Path) -> Iterator[Ask]:
    with Redis.from_url(redis_url) as client:
        write(client, GROUPS)
        go_live(client)
    with Api(tmp_path, redis_url, API_KEY_HASHES=hashlib.sha256(KEY.encode()).hexdigest()) as api:

        def asked(requests: Sequence[Json]) -> list[Json]:
            value = {"baseUrl": f"http://127.0.0.1:{api.port}", "token": token(), "apiKey": KEY}
            wanted = [{"as": "jwt", "path": LIST, **request} for request in requests]
            found: list[Json] = node.run("ask.cjs", modules, {**value, "requests": wanted})
            return found

        yield asked


def expected(request: Request) -> Json:
    """Returns the naive answer with all numbers as doubles, as in JavaScript."""
    found: Json = only_floats(shown_as_json(answer(GROUPS, request)))
    return found


def javascript(rng: random.Random, request: Request) -> Json:
    """Returns the `query` object of a client for the request."""
    query: Json = {"limit": request.limit, "offset": request.offset}
    query["order"] = ("-" if request.descending else "") + request.sort
    if request.q:
        query["q"] = request.q
    if request.fields is not None:
        query["fields"] = request.fields
    for name, values in request.any_of.items():
        # A lone element of a list is split at commas, by Medusa as by us.
        query[name] = values[0] if len(values) == 1 and ("," in values[0] or rng.random() < 0.5) else list(values)
    for name, operators in request.ranges.items():
        query[name] = {
            operator: [written(name, one) for one in operand] if isinstance(operand, list) else written(name, operand)
            for operator, operand in operators.items()
        }
        query[name].setdefault("$eq", None)  # which the client leaves out
    return query


def test_random_queries(ask: Ask) -> None:
    rng = random.Random(8)
    asked = [random_request(rng, GROUPS) for _ in range(RANDOM_REQUESTS)]
    answers = ask([{"query": javascript(rng, request)} for request in asked])
    for request, found in zip(asked, answers, strict=True):
        assert found == {"body": expected(request)}, request
    counts = [found["body"]["count"] for found in answers]
    assert sum(count > 0 for count in counts) > RANDOM_REQUESTS / 3
    assert sum(count > 30 for count in counts) > RANDOM_REQUESTS / 10


def test_facets_sums_and_histograms(ask: Ask) -> None:
    """They come beside the page, for the client hands on whatever an answer has."""
    request = Request(limit=3, facets={"status": True, "seller_id": False}, facet_limit=2, sums=True)
    request.any_of = {"status": ["completed"]}
    counted = {"facets": "status:all,seller_id", "facet_limit": 2, "sums": "total"}
    list_one, list_two, months = ask(
        [
            {"query": {"limit": 3, "status": "completed", **counted}},
            {"query": {"limit": 3, "status": "completed", **counted, "facets": ["status:all", "seller_id"]}},
            {"path": LIST + "/histogram", "query": {"by": "created_at:month", "status": ["completed"]}},
        ]
    )
    assert list_one == list_two == {"body": expected(request)}
    request.sums = False
    assert months == {"body": only_floats(shown_as_json(histogram(GROUPS, request, "month")))}


def test_every_page(ask: Ask) -> None:
    asked = [Request(limit=40, offset=offset, sort="total") for offset in range(0, 340, 40)]
    answers = ask([{"query": {"limit": 40, "offset": one.offset, "order": "-total"}} for one in asked])
    rows = [row for found in answers for row in found["body"]["order_groups"]]
    assert rows == expected(Request(limit=1000, sort="total"))["order_groups"]
    assert {found["body"]["count"] for found in answers} == {len(GROUPS)}


# What the order list of Mercur's dashboard asks for.
DASHBOARD = (
    "id,display_id,customer_id,seller_count,total,created_at,orders.id,orders.status,orders.created_at,orders.email,"
    "orders.display_id,orders.custom_display_id,orders.payment_status,orders.fulfillment_status,orders.total,"
    "orders.currency_code,*orders.payment_collections,*orders.customer,*orders.sales_channel,*orders.seller"
)


def test_the_dashboard_of_mercur_gets_names_and_statuses(ask: Ask) -> None:
    query = {"limit": 20, "offset": 0, "order": "-display_id", "q": "ada", "fields": DASHBOARD}
    (found,) = ask([{"query": query}])
    request = Request(limit=20, sort="display_id", q="ada")
    request.names = ("id", "display_id", "customer_id", "seller_count", "total", "created_at", "orders")
    request.order_names = (
        *("id", "display_id", "custom_display_id", "email", "status", "payment_status", "fulfillment_status"),
        *("currency_code", "total", "created_at", "seller", "customer"),
    )
    assert found == {"body": expected(request)}
    orders = [order for row in found["body"]["order_groups"] for order in row["orders"]]
    assert {order["customer"]["first_name"] for order in orders} == {None, "Ada", "Ğül"}
    assert len({order["seller"]["name"] for order in orders}) > 2


@pytest.mark.parametrize("way", ["jwt", "apiKey", "header"])
def test_every_form_of_credentials(ask: Ask, way: str) -> None:
    found = ask([{"as": way, "query": {"limit": 3}}])
    assert found == [{"body": expected(Request(limit=3))}]


def test_without_credentials(ask: Ask) -> None:
    unauthorized = {"status": 401, "message": "Unauthorized"}
    assert ask([{"as": "nobody"}, {"as": "nobody", "path": LIST + "/x"}]) == [unauthorized] * 2


def test_one_group(ask: Ask) -> None:
    groups = [*GROUPS[: len(ODD_IDS)], GROUPS[-1]]
    # The client encodes no path: that is the caller's part, by `encodeURIComponent`.
    paths = [LIST + "/" + encoded(group["id"]) for group in groups]
    answers = ask([{"path": path} for path in paths] + [{"path": paths[-1], "query": {"fields": "id,statuses"}}])
    names = (*DEFAULT_FIELDS, "orders")
    for group, found in zip(groups, answers, strict=False):
        shown = answer([group], Request(names=names))["order_groups"][0]
        assert found == {"body": {"order_group": only_floats(shown_as_json(shown))}}
    last = groups[-1]
    assert answers[-1] == {"body": {"order_group": {"id": last["id"], "statuses": last["statuses"]}}}


def encoded(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def test_the_client_shows_the_message_of_errors(ask: Ask) -> None:
    answers = ask(
        [
            {"query": {"limit": "abc"}},
            {"query": {"foo": 1, "bar": {"x": 2}}},
            {"query": {"q": ["a", "b"]}},
            {"query": {"created_at": {"$like": "x"}}},
            {"query": {"limit": 1001}},
            {"path": LIST + "/og_unknown"},
            {"path": "/admin/nothing"},
        ]
    )
    assert [found["status"] for found in answers] == [400, 400, 400, 400, 400, 404, 404]
    assert [found["message"].removeprefix("Invalid request: ") for found in answers[:3]] == [
        "Expected type: 'number' for field 'limit', got: 'abc'",
        "Unrecognized fields: 'foo, bar'",
        "Expected type: 'string' for field 'q', got: 'a,b'",
    ]
    assert answers[5]["message"] == "OrderGroup id not found: og_unknown"


def test_values_that_javascript_serialises(ask: Ask) -> None:
    """Long and empty lists, dates, numbers and booleans, all fields at once."""
    ids = [group["id"] for group in GROUPS]
    answers = ask(
        [
            {"query": {"id": ids, "limit": 1000}},
            {"query": {"id": [], "status": [], "limit": 0}},
            {"query": {"total": {"$gte": 0.1, "$lt": 10}, "limit": 1000}},
            {"query": {"display_id": 7, "seller_count": [1, 2], "limit": 1000}},
            {"query": {"with_deleted": True, "fields": ",".join(GROUP_FIELDS), "limit": 1000}},
        ]
    )
    everything = Request(limit=1000)
    few = Request(limit=1000, ranges={"total": {"$gte": Decimal("0.1"), "$lt": 10}})
    some = Request(limit=1000, ranges={"display_id": {"$eq": 7}, "seller_count": {"$in": [1, 2]}})
    assert answers[0]["body"] == expected(everything)
    assert answers[1]["body"]["count"] == len(GROUPS)
    assert answers[2]["body"] == expected(few)
    assert answers[3]["body"] == expected(some)
    assert answers[4]["body"] == expected(Request(limit=1000, names=GROUP_FIELDS))
    assert min(found["body"]["count"] for found in answers) > 0
