"""The document of an order group, as stored and served.

It is stored in two parts, since most lists need only the default fields: the *row* is a JSON object of those, the
*rest* is the remainder of the whole document, from the comma after them to the last brace.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec
from msgspec import Raw, Struct

from events.contract.amount import amount_text

# The version of the read model: fold, document and indexes. Each version has generations of its own.
VERSION = 7


class OrderRow(Struct, frozen=True, gc=False):
    """An order of a group; times in RFC 3339."""

    id: str
    display_id: int | None
    seller_id: str
    customer_id: str | None
    sales_channel_id: str | None
    status: str
    currency_code: str | None
    total: Raw
    created_at: str
    updated_at: str


class Document(Struct, frozen=True, gc=False):
    """A listed group. The order of the fields is part of the read model: `q` searches id and customer id in the row."""

    id: str
    customer_id: str | None
    seller_count: int
    total: Raw
    created_at: str
    updated_at: str
    display_id: int | None
    cart_id: str | None
    currency_code: str | None
    seller_ids: list[str]
    statuses: list[str]
    sales_channel_ids: list[str]
    order_count: int
    orders: list[OrderRow]


_encode = msgspec.json.Encoder().encode
_REST = b',"display_id":'


def parts(document: Document) -> tuple[bytes, bytes]:
    """Returns row and rest. Quotes in JSON strings are escaped, so the first `,"display_id":` begins the rest."""
    whole = _encode(document)
    boundary = whole.index(_REST)
    return whole[:boundary] + b"}", whole[boundary:]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)


# Cached, since most times occur several times in a group and its orders.
@lru_cache(maxsize=65_536)
def time_text(unix_us: int) -> str:
    """Returns UTC, truncated to milliseconds: `2026-06-01T10:00:00.000Z`."""
    return (_EPOCH + timedelta(microseconds=unix_us)).isoformat(timespec="milliseconds") + "Z"


def amount_json(amount: int) -> Raw:
    return Raw(amount_text(amount).encode())
