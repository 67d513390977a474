"""Exports of lists against the naive answer, on a real Redis."""

import random
from decimal import Decimal

import pytest
from redis import Redis

from tests.integration.client import Api, running
from tests.integration.exported import filters, read_csv, read_ndjson, rows, same_cells
from tests.integration.naive import ties_of
from tests.integration.queries import random_request
from tests.integration.seed import make_groups, serve
from tests.integration.ways import WAYS, force
from tests.readmodel import prefixes
from tests.thorough import thorough

GROUPS = make_groups(random.Random(20260602), 1000)
QUERIES = 60
PATH = "/admin/order-groups/export"
QUICK_WAYS = ("as it is", "look-ups", "masks, then slices", "prepared masks")
EACH_WAY = [*QUICK_WAYS, *thorough(*(way for way in WAYS if way not in QUICK_WAYS))]


def exported(api: Api, query: str) -> bytes:
    response = api.get(f"{PATH}?{query}")
    assert response.status_code == 200, (query, response.text)
    assert int(response.headers["X-Export-Count"]) >= 0
    return response.content


@pytest.mark.parametrize("way", EACH_WAY)
@pytest.mark.parametrize("shards", [1, 3])
def test_random_exports_hold_what_matches(
    redis: "Redis", redis_url: str, way: str, shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(monkeypatch, **WAYS[way])
    serve(redis, GROUPS, shards=shards)
    rng, ties, counts = random.Random(5), ties_of(GROUPS, shards), []
    with running(redis_url) as api:
        api.wait_until_ready()
        for _ in range(QUERIES if way == "as it is" else QUERIES // 3):
            request = random_request(rng, GROUPS)
            per_order = "orders" in request.names and rng.random() < 0.5
            wanted = rows(GROUPS, request, ties, per_order=per_order)
            query = filters(rng, request) + ("&rows=orders" if per_order else "")
            response = api.get(f"{PATH}?{query}&format=ndjson")
            objects, vanished = read_ndjson(response.content)
            assert objects == wanted, query
            assert vanished == 0
            assert int(response.headers["X-Export-Count"]) == len({row["id"] for row in wanted})
            found = read_csv(exported(api, query))
            assert len(found) == len(wanted)
            assert all(map(same_cells, found, wanted)), query
            counts.append(len(wanted))
    assert sum(count > 0 for count in counts) > len(counts) / 2
    assert sum(count > 100 for count in counts) > len(counts) / 8


def test_the_file_is_named_and_says_what_it_reflects(redis: "Redis", api: Api) -> None:
    redis.hset(prefixes(0, 1)[0] + "position", "orders/0", 7)
    response = api.get(f"{PATH}?status=completed")
    headers = response.headers
    assert headers["Content-Disposition"] == 'attachment; filename="order-groups.csv"'
    assert headers["Content-Type"] == "text/csv; charset=utf-8"
    assert headers["X-Projection-Position"] == "orders/0@7"
    assert int(headers["X-Export-Count"]) == len(read_csv(response.content)) > 100
    assert response.content.count(b"\r\n") == len(read_csv(response.content)) + 1
    ndjson = api.get(f"{PATH}?format=ndjson").headers
    assert ndjson["Content-Type"] == "application/x-ndjson"
    assert ndjson["Content-Disposition"] == 'attachment; filename="order-groups.ndjson"'
    head = api.request("HEAD", f"{PATH}?status=completed")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["X-Export-Count"] == headers["X-Export-Count"]


def test_a_bom_comes_first_if_asked_for(api: Api) -> None:
    plain = exported(api, "customer_id=cus_1")
    assert exported(api, "customer_id=cus_1&bom=true") == b"\xef\xbb\xbf" + plain
    assert exported(api, "customer_id=cus_1&bom=false") == plain


def test_a_row_an_order_has_all_its_fields_unless_some_are_named(api: Api) -> None:
    first = read_csv(exported(api, "rows=orders"))[0]
    assert {"id", "total", "order_id", "order_seller_id", "order_total", "order_canceled_at"} <= first.keys()
    first = read_csv(exported(api, "rows=orders&fields=cart_id,orders.total,orders.seller.name"))[0]
    assert list(first) == ["id", "cart_id", "order_id", "order_total", "order_seller.id", "order_seller.name"]


def test_what_no_group_matches_is_a_file_without_rows(api: Api) -> None:
    assert exported(api, "status=nothing") == b"id,customer_id,seller_count,total,created_at,updated_at\r\n"
    assert exported(api, "id=") == b"id,customer_id,seller_count,total,created_at,updated_at\r\n"
    assert read_ndjson(exported(api, "status=nothing&format=ndjson")) == ([], 0)


def test_cells_that_a_spreadsheet_would_run_are_text(redis: "Redis", api: Api) -> None:
    evil = [
        "=1+1",
        "+49",
        "-2",
        "@SUM(A1)",
        "\tx",
        "\rx",
        '=HYPERLINK("http://x";"y")',
        "a\r\nb",
        'say "hi", you',
        "a;b",
    ]
    groups = make_groups(random.Random(1), 20)
    for group, text in zip(groups, evil, strict=False):
        group.update(customer_id=text, cart_id=text, seller_ids=[text], total=Decimal("-1.5"))
        group["orders"] = [
            {**group["orders"][0], "seller_id": text, "custom_display_id": text, "total": Decimal("-1.5")}
        ]
    serve(redis, groups)
    found = read_csv(exported(api, "rows=orders&fields=customer_id,cart_id,seller_ids,total,orders.custom_display_id"))
    for row, text in zip(found, evil, strict=False):
        safe = "'" + text if text[0] in "=+-@\t\r" else text
        assert row["customer_id"] == row["cart_id"] == row["seller_ids"] == row["order_custom_display_id"] == safe
        assert row["total"] == "-1.5"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=3", "Unrecognized fields: 'limit'"),
        ("offset=3&order=total", "Unrecognized fields: 'offset, order'"),
        ("format=xlsx", "Expected: 'csv, ndjson' for field 'format', but got: 'xlsx'"),
        ("rows=both", "Expected: 'groups, orders' for field 'rows', but got: 'both'"),
        ("bom=1", "Expected type: 'boolean' for field 'bom', got: '1'"),
        ("bom=true&format=ndjson", "Expected: 'csv' for field 'format' with 'bom', but got: 'ndjson'"),
        ("created_at=x", "Expected type: 'date' for field 'created_at', got: 'x'"),
    ],
)
def test_a_bad_request_is_refused(api: Api, query: str, message: str) -> None:
    response = api.get(f"{PATH}?{query}")
    assert response.status_code == 400
    assert response.json() == {"type": "invalid_data", "message": f"Invalid request: {message}"}


def test_without_credentials_nothing_is_exported(api: Api) -> None:
    assert api.get(PATH, {}).status_code == 401


def test_without_a_generation_the_file_is_empty(redis: "Redis", api: Api) -> None:
    redis.delete("og:live")
    response = api.get(PATH)
    assert (response.status_code, response.headers["X-Export-Count"]) == (200, "0")
    assert read_csv(response.content) == []
