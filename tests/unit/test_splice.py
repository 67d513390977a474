"""Bodies of responses, byte by byte."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from api.splice import SLICE_BYTES, document, list_body, one_body, pick, pick_in_slices, slices
from projector.readmodel.client.errors import ReadModelFault
from projector.readmodel.query.fields import Fields
from tests import fields
from tests.fields import DEFAULT_FIELDS, GROUP_FIELDS, ORDER_FIELDS
from tests.integration.seed import hashed, record

HUGE = b"123456789012345678901234567890.123456"


RELATIONS = b',"seller":{"id":"%b","name":"Anna"},"customer":{"id":null,"first_name":"Ada","last_name":null}'


def order(number: int, seller: bytes, relations: bytes = b"") -> bytes:
    return (
        b'{"id":"order_%d","display_id":null,"custom_display_id":"A-1","email":"ada@example.com","seller_id":"%b",'
        b'"customer_id":"cus \\"1\\"","sales_channel_id":null,"status":"pending","payment_status":"captured",'
        b'"fulfillment_status":null,"currency_code":"eur","total":%b,"created_at":"2026-06-01T10:00:00.000Z",'
        b'"updated_at":"2026-06-01T10:00:00.000Z","canceled_at":null%b}' % (number, seller, HUGE, relations)
    )


HEAD = (
    b'{"id":"og_\\",\\"display_id\\":","customer_id":"cus \\"1\\"","seller_count":2,"total":%b,'
    b'"created_at":"2026-06-01T10:00:00.000Z","updated_at":"2026-06-01T10:00:00.000Z"' % HUGE
)
TAIL = (
    b',"display_id":7,"cart_id":null,"currency_code":"eur","seller_ids":["a","\xc3\xa4"],"statuses":["pending"],'
    b'"sales_channel_ids":[],"payment_statuses":["captured"],"fulfillment_statuses":[],"order_count":2,'
)
ORDERS = b'"orders":[%b,%b]}' % (order(1, b"a"), order(2, b"\xc3\xa4"))
DOCUMENT = HEAD + TAIL + ORDERS
WITH_RELATIONS = b"".join(
    (
        *(HEAD, TAIL, b'"orders":[', order(1, b"a", RELATIONS % b"a"), b","),
        *(order(2, b"\xc3\xa4", RELATIONS % b"\xc3\xa4"), b"]}"),
    )
)
ALL = Fields(GROUP_FIELDS, ORDER_FIELDS)


def test_bodies() -> None:
    empty = b'{"order_groups":[],"count":0,"offset":0,"limit":50}'
    assert list_body(b"", 0, 0, 50) == empty
    assert list_body(b"{},{}", 9, 10**30, 2) == b'{"order_groups":[{},{}],"count":9,"offset":1%b,"limit":2}' % (
        b"0" * 30
    )
    assert one_body(b"{}") == b'{"order_group":{}}'


def test_all_fields_are_copied_unchanged() -> None:
    rows = DOCUMENT + b"," + DOCUMENT
    assert pick(rows, ALL, None) is rows
    assert pick(rows, ALL, ["a", "\u00e4"]) == rows
    assert pick(b"", Fields(("id",)), None) == b""


def test_numbers_stay_exact_and_order_is_the_documents() -> None:
    assert pick(DOCUMENT, Fields(DEFAULT_FIELDS), None) == HEAD + b"}"
    two = pick(DOCUMENT + b"," + DOCUMENT, Fields(("id", "total")), None)
    one = b'{"id":"og_\\",\\"display_id\\":","total":%b}' % HUGE
    assert two == one + b"," + one


def test_orders_are_filtered_by_seller() -> None:
    assert pick(DOCUMENT, Fields(("id", "orders"), ORDER_FIELDS), ["\u00e4", "nobody"]).endswith(
        b',"orders":[%b]}' % order(2, b"\xc3\xa4")
    )
    assert pick(DOCUMENT, Fields(("orders",), ("id",)), ["nobody"]) == b'{"orders":[]}'


def test_fields_of_orders() -> None:
    assert pick(DOCUMENT, Fields(("orders",), ("id", "total")), None) == (
        b'{"orders":[{"id":"order_1","total":%b},{"id":"order_2","total":%b}]}' % (HUGE, HUGE)
    )


def test_relations_of_orders() -> None:
    everything = tuple(fields.RELATIONS.items())
    assert pick(WITH_RELATIONS, Fields(GROUP_FIELDS, ORDER_FIELDS, everything), None) is WITH_RELATIONS
    assert pick(WITH_RELATIONS, Fields(("orders",), ("id",), (("customer", ("id", "first_name")),)), None) == (
        b'{"orders":[{"id":"order_1","customer":{"id":null,"first_name":"Ada"}},'
        b'{"id":"order_2","customer":{"id":null,"first_name":"Ada"}}]}'
    )
    assert pick(WITH_RELATIONS, Fields(("orders",), ("id",), everything), ["a"]) == (
        b'{"orders":[{"id":"order_1"%b}]}' % (RELATIONS % b"a")
    )


def test_relations_are_rendered_only_if_asked_for() -> None:
    one = group(1, 1)
    one["orders"][0] |= {"seller": {"name": "Anna"}, "customer": {"first_name": "Ada", "last_name": "Byron"}}
    row = b'{"id":"og_1"}'
    without = json.loads(document(row, record(one)))["orders"][0]
    assert list(without) == [*ORDER_FIELDS]
    assert json.loads(document(row, record(one), with_relations=True))["orders"][0] == {
        **without,
        "seller": {"id": "sel", "name": "Anna"},
        "customer": {"id": None, "first_name": "Ada", "last_name": "Byron"},
    }


@pytest.mark.parametrize("document", [b'{"id":"x"}', b"{", b"[]", b'{"id":1,"orders":{}}', b"null"])
def test_an_invalid_document(document: bytes) -> None:
    with pytest.raises(ReadModelFault):
        pick(document, Fields(("total", "orders"), ("id",)), None)


def group(number: int, orders: int) -> dict[str, Any]:
    found = [
        {
            "id": f"order_{n:04}",
            "display_id": n,
            "seller_id": "sel",
            "customer_id": None,
            "sales_channel_id": None,
            "status": "pending",
            "currency_code": "eur",
            "total": Decimal(n) / 4,
            "created_at": 1780272000000,
            "updated_at": 1780272000000,
        }
        for n in range(orders)
    ]
    return {"id": f"og_{number}", "display_id": None, "cart_id": None, "orders": found}


def test_other_tasks_run_between_slices_of_documents() -> None:
    """A slice ends with the record that makes it large enough, however many there are."""
    groups = [group(0, 1000), *(group(n, 2) for n in range(1, 501)), group(501, 1000), group(502, 1000)]
    records = [record(one) for one in groups]
    rows = [b'{"id":"%b","total":1}' % one["id"].encode() for one in groups]
    assert len(records[0]) > SLICE_BYTES > 10 * len(records[1])
    found = list(slices(records))
    assert [n for start, end in found for n in range(start, end)] == list(range(len(records)))
    for start, end in found:
        assert sum(map(len, records[start : end - 1])) < SLICE_BYTES
    assert all(sum(map(len, records[start:end])) >= SLICE_BYTES for start, end in found[:-1])
    turns = 0

    async def counted() -> bytes:
        nonlocal turns
        picking = asyncio.ensure_future(pick_in_slices(rows, records, Fields(("id", "orders"), ("total",)), None))
        while not picking.done():
            turns += 1
            await asyncio.sleep(0)
        return picking.result()

    body = json.loads(b"[" + asyncio.run(counted()) + b"]", parse_float=Decimal)
    assert body == [
        {"id": one["id"], "orders": [{"total": order["total"]} for order in one["orders"]]} for one in groups
    ]
    assert len(found) >= 4
    assert turns >= len(found)


@pytest.mark.parametrize("stored", [b"", b"12345678\x93", hashed(b"\x91\x01"), hashed(b"\x90")])
def test_an_invalid_record(stored: bytes) -> None:
    with pytest.raises(ReadModelFault):
        document(b'{"id":"og_1"}', stored)


def test_filtering_by_sellers_that_are_not_in_the_answer() -> None:
    assert (
        pick(DOCUMENT, Fields(("orders",), ("id", "total")), ["\u00e4"])
        == b'{"orders":[{"id":"order_2","total":%b}]}' % HUGE
    )
    assert (
        pick(DOCUMENT, Fields(("orders",), ("id", "seller_id")), ["a"])
        == b'{"orders":[{"id":"order_1","seller_id":"a"}]}'
    )
