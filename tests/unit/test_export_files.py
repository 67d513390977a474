"""The files of an export: what Python's csv reads from them, and the digest of NDJSON."""

import csv
import hashlib
import json
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.export.columns import columns
from api.export.files import Csv, Ndjson
from api.params.export import EXPORT_PARAMETERS, parse_export
from tests.fields import RANGE_FIELDS, VALUE_FIELDS

FORMULAS = ("=", "+", "-", "@", "\t", "\r")
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(FORMULAS).map(lambda one: one + "1")


@given(st.lists(st.tuples(TEXTS, st.none() | TEXTS, st.lists(TEXTS.filter(bool), max_size=3)), min_size=1))
def test_any_text_is_read_back_from_csv(groups: list[tuple[str, str | None, list[str]]]) -> None:
    """With an apostrophe where a spreadsheet would run it."""
    file = Csv(parse_export("fields=customer_id,seller_ids"))
    documents = [
        {"id": group_id, "customer_id": customer, "seller_ids": sellers} for group_id, customer, sellers in groups
    ]
    content = file.head() + file.part(",".join(map(json.dumps, documents)).encode()) + file.end(0)
    names, *rows = csv.reader(StringIO(content.decode(), newline=""), strict=True)
    assert names == ["id", "customer_id", "seller_ids"]
    for row, (group_id, customer, sellers) in zip(rows, groups, strict=True):
        texts = (group_id, customer or "", ";".join(sellers))
        assert row == ["'" + text if text.startswith(FORMULAS) else text for text in texts]
    assert file.rows == len(groups)


@pytest.mark.parametrize("number", ["-1.5", "123456789012345.000001", "0", "-99999999999999.9", "12345678901234567890"])
def test_a_number_is_copied_digit_by_digit(number: str) -> None:
    document = b'{"id":"og_1","total":%b}' % number.encode()
    assert Csv(parse_export("fields=total")).part(document) == b"og_1,%b\r\n" % number.encode()
    assert Ndjson(parse_export("fields=total&format=ndjson")).part(document) == document + b"\n"


def test_the_last_line_tells_number_and_digest_of_those_before() -> None:
    file = Ndjson(parse_export("format=ndjson&fields="))
    content = file.head() + file.part(b'{"id":"a"},{"id":"b"}') + file.part(b'{"id":"c"}')
    end = json.loads(file.end(2))
    assert content == b'{"id":"a"}\n{"id":"b"}\n{"id":"c"}\n'
    assert end == {"export": {"count": 3, "vanished": 2, "sha256": hashlib.sha256(content).hexdigest()}}


def test_the_columns_of_orders_begin_with_order() -> None:
    fields = parse_export("rows=orders&fields=cart_id,orders.total,orders.seller.name").query.fields
    assert columns(fields, per_order=True) == (
        "id",
        "cart_id",
        "order_id",
        "order_total",
        "order_seller.id",
        "order_seller.name",
    )
    assert columns(fields, per_order=False) == ("id", "cart_id", "orders")


def test_the_parameters_are_those_of_a_list_without_its_pages() -> None:
    filters = {"q", "id", *VALUE_FIELDS, *RANGE_FIELDS, "with_deleted"}
    assert set(EXPORT_PARAMETERS) == {"fields", *filters, "format", "rows", "bom"}
