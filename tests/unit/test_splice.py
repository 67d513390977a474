"""Bodies of responses, byte by byte."""

import asyncio
import json
from decimal import Decimal

import pytest

from api.splice import SLICE_BYTES, list_body, one_body, pick, pick_in_slices, slices
from projector.readmodel.client.errors import ReadModelFault
from projector.readmodel.query.fields import Fields
from tests.fields import DEFAULT_FIELDS, GROUP_FIELDS, ORDER_FIELDS

HUGE = b"123456789012345678901234567890.123456"


def order(number: int, seller: bytes) -> bytes:
    return (
        b'{"id":"order_%d","display_id":null,"seller_id":"%b","customer_id":"cus \\"1\\"","sales_channel_id":null,'
        b'"status":"pending","currency_code":"eur","total":%b,'
        b'"created_at":"2026-06-01T10:00:00.000Z","updated_at":"2026-06-01T10:00:00.000Z"}' % (number, seller, HUGE)
    )


HEAD = (
    b'{"id":"og_\\",\\"display_id\\":","customer_id":"cus \\"1\\"","seller_count":2,"total":%b,'
    b'"created_at":"2026-06-01T10:00:00.000Z","updated_at":"2026-06-01T10:00:00.000Z"' % HUGE
)
TAIL = (
    b',"display_id":7,"cart_id":null,"currency_code":"eur","seller_ids":["a","\xc3\xa4"],"statuses":["pending"],'
    b'"sales_channel_ids":[],"order_count":2,"orders":[%b,%b]}' % (order(1, b"a"), order(2, b"\xc3\xa4"))
)
DOCUMENT = HEAD + TAIL
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


@pytest.mark.parametrize("document", [b'{"id":"x"}', b"{", b"[]", b'{"id":1,"orders":{}}', b"null"])
def test_an_invalid_document(document: bytes) -> None:
    with pytest.raises(ReadModelFault):
        pick(document, Fields(("total", "orders"), ("id",)), None)


def test_other_tasks_run_between_slices_of_documents() -> None:
    """A slice ends with the document that makes it large enough, however many there are."""
    large = HEAD + TAIL[:-2] + b"," + b",".join([order(3, b"a")] * 1000) + b"]}"
    documents = [large, *[DOCUMENT] * 500, large, large]
    assert len(large) > SLICE_BYTES > 10 * len(DOCUMENT)
    found = list(slices(documents))
    assert [one for some in found for one in some] == documents
    for some in found:
        assert sum(map(len, some[:-1])) < SLICE_BYTES
    assert all(sum(map(len, some)) >= SLICE_BYTES for some in found[:-1])
    turns = 0

    async def counted() -> bytes:
        nonlocal turns
        picking = asyncio.ensure_future(pick_in_slices(documents, Fields(("id", "orders"), ("total",)), None))
        while not picking.done():
            turns += 1
            await asyncio.sleep(0)
        return picking.result()

    # Independently of how it is done: each document has what it has on its own.
    body = json.loads(b"[" + asyncio.run(counted()) + b"]", parse_float=Decimal)
    expected = json.loads(b"[" + b",".join(documents) + b"]", parse_float=Decimal)
    assert body == [
        {"id": one["id"], "orders": [{"total": order["total"]} for order in one["orders"]]} for one in expected
    ]
    assert len(found) >= 4
    assert turns >= len(found)


def test_filtering_by_sellers_that_are_not_in_the_answer() -> None:
    assert (
        pick(DOCUMENT, Fields(("orders",), ("id", "total")), ["\u00e4"])
        == b'{"orders":[{"id":"order_2","total":%b}]}' % HUGE
    )
    assert (
        pick(DOCUMENT, Fields(("orders",), ("id", "seller_id")), ["a"])
        == b'{"orders":[{"id":"order_1","seller_id":"a"}]}'
    )
