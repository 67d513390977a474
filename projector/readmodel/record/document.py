"""The JSON of a listed group: the row, which is stored, and the whole document, which is rendered from the record.

Most lists need only the default fields, so these are stored as they are served.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from events.contract.amount import amount_text
from projector.readmodel.record.order import (
    CANCELED_AT,
    CREATED_AT,
    CURRENCY_CODE,
    CUSTOM_DISPLAY_ID,
    CUSTOMER_ID,
    DISPLAY_ID,
    EMAIL,
    FULFILLMENT_STATUS,
    PAYMENT_STATUS,
    SALES_CHANNEL_ID,
    SELLER_ID,
    SELLER_NAME,
    STATUS,
    TOTAL,
    Order,
)
from projector.readmodel.record.state import unpack
from projector.readmodel.record.view import View, customer_names, view
from projector.readmodel.schema.columns import Columns, head


class Seller(Struct, frozen=True, gc=False):
    id: str
    name: str | None


class Customer(Struct, frozen=True, gc=False):
    id: str | None
    first_name: str | None
    last_name: str | None


class OrderRow(Struct, frozen=True, gc=False):
    """An order of a group; times in RFC 3339. `seller` and `customer` only when asked for."""

    id: str
    display_id: int | None
    custom_display_id: str | None
    email: str | None
    seller_id: str
    customer_id: str | None
    sales_channel_id: str | None
    status: str
    payment_status: str | None
    fulfillment_status: str | None
    currency_code: str | None
    total: Raw
    created_at: str
    updated_at: str
    canceled_at: str | None
    seller: Seller | UnsetType = UNSET
    customer: Customer | UnsetType = UNSET


class Row(Struct, frozen=True, gc=False):
    """The default fields of a list."""

    id: str
    customer_id: str | None
    seller_count: int
    total: Raw
    created_at: str
    updated_at: str


class Document(Row, frozen=True, gc=False):
    display_id: int | None
    cart_id: str | None
    currency_code: str | None
    seller_ids: list[str]
    statuses: list[str]
    sales_channel_ids: list[str]
    payment_statuses: list[str]
    fulfillment_statuses: list[str]
    order_count: int
    orders: list[OrderRow]


_encode = msgspec.json.Encoder().encode


def row(group: View, columns: Columns) -> bytes:
    """Returns what `row` stores: the head of the columns, a JSON object, then each seller's id after 0xFF, which occurs
    in no UTF-8: so the groups of a list are counted by seller without their records.
    """
    shown = Row(
        group.id,
        group.customer_id,
        len(group.seller_ids),
        amount_json(group.total),
        time_text(group.created_at),
        time_text(group.updated_at),
    )
    return b"\xff".join((head(columns) + _encode(shown), *(seller_id.encode() for seller_id in group.seller_ids)))


def whole(group_id: str, record: bytes, *, with_relations: bool = False) -> bytes | None:
    """Returns the JSON object of all fields; None if the group is not listed.

    `with_relations`: with the seller and the customer of each order. Raises msgspec.DecodeError, IndexError, TypeError.
    """
    group = view(group_id, unpack(record))
    if group is None:
        return None
    return _encode(
        Document(
            group.id,
            group.customer_id,
            len(group.seller_ids),
            amount_json(group.total),
            time_text(group.created_at),
            time_text(group.updated_at),
            group.display_id,
            group.cart_id,
            group.currency_code,
            group.seller_ids,
            group.statuses,
            group.sales_channel_ids,
            group.payment_statuses,
            group.fulfillment_statuses,
            len(group.orders),
            [_order_row(order, with_relations) for order in group.orders],
        )
    )


def _order_row(order: Order, with_relations: bool) -> OrderRow:
    values = order.values
    return OrderRow(
        order.id,
        values[DISPLAY_ID],
        values[CUSTOM_DISPLAY_ID],
        values[EMAIL],
        values[SELLER_ID],
        values[CUSTOMER_ID],
        values[SALES_CHANNEL_ID],
        values[STATUS],
        values[PAYMENT_STATUS],
        values[FULFILLMENT_STATUS],
        values[CURRENCY_CODE],
        amount_json(values[TOTAL]),
        time_text(values[CREATED_AT]),
        time_text(order.updated_at),
        None if values[CANCELED_AT] is None else time_text(values[CANCELED_AT]),
        Seller(values[SELLER_ID], values[SELLER_NAME]) if with_relations else UNSET,
        Customer(values[CUSTOMER_ID], *customer_names(order)) if with_relations else UNSET,
    )


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)


# Cached, since most times occur several times in a group and its orders.
@lru_cache(maxsize=65_536)
def time_text(unix_us: int) -> str:
    """Returns UTC, truncated to milliseconds: `2026-06-01T10:00:00.000Z`."""
    return (_EPOCH + timedelta(microseconds=unix_us)).isoformat(timespec="milliseconds") + "Z"


def amount_json(amount: int) -> Raw:
    return Raw(amount_text(amount).encode())
