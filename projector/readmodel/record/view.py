"""Aggregates the counted orders of a group into what is listed, and into what the indexes hold of it.

A View is no JSON: document.py renders it.
"""

from binascii import b2a_base64
from hashlib import blake2b
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Any

from msgspec import Struct

from projector.readmodel.record.order import (
    CART_ID,
    CREATED_AT,
    CURRENCY_CODE,
    CUSTOM_DISPLAY_ID,
    CUSTOMER_FIRST_NAME,
    CUSTOMER_ID,
    CUSTOMER_LAST_NAME,
    CUSTOMER_NAME,
    DISPLAY_ID,
    FULFILLMENT_STATUS,
    GROUP_CREATED_AT,
    GROUP_CUSTOMER_ID,
    GROUP_DISPLAY_ID,
    PAYMENT_STATUS,
    SALES_CHANNEL_ID,
    SELLER_ID,
    STATUS,
    TOTAL,
    Order,
)
from projector.readmodel.record.state import Group
from projector.readmodel.schema.columns import Columns

_NONE = {None}
# The digits of Base64, which has six bits in each byte as well, as continuation bytes.
_SIX_BITS = bytes.maketrans((ascii_uppercase + ascii_lowercase + digits + "+/").encode(), bytes(range(0x80, 0xC0)))


class View(Struct, frozen=True, gc=False):
    """One listed group. Times in Unix microseconds, `total` in millionths, `orders` by created_at, then id."""

    id: str
    customer_id: str | None
    total: int
    created_at: int
    updated_at: int
    display_id: int | None
    cart_id: str | None
    currency_codes: list[str]
    seller_ids: list[str]
    statuses: list[str]
    sales_channel_ids: list[str]
    payment_statuses: list[str]
    fulfillment_statuses: list[str]
    orders: list[Order]

    @property
    def currency_code(self) -> str | None:
        """The currency of all orders, if it is one."""
        is_one = len(self.currency_codes) == 1 and all(order.values[CURRENCY_CODE] for order in self.orders)
        return self.currency_codes[0] if is_one else None


class Indexed(Struct, frozen=True, gc=False):
    """What the indexes hold of a listed group.

    `values`: names of the sorted sets that have it, without the shard's prefix, such as `of:status:pending`. No filter
    accepts an empty value; only a group with an order without currency is in `of:currency_code:`. So the groups of one
    currency are those that are in its set and in no other set of a currency. `text`: its line, which `q` searches:
    case-folded, id 0xFE customer id, then each other text after 0xFD, then the `order_mark` of each order. These bytes
    do not occur in UTF-8, so no match spans two texts.
    """

    columns: Columns
    values: tuple[str, ...]
    text: bytes


def view(group_id: str, group: Group) -> View | None:
    """Returns None for a group without counted orders, which is not listed."""
    orders = [order for order in group.values() if order.counted]
    if not orders:
        return None
    if len(orders) > 1:
        orders.sort(key=lambda order: (order.values[CREATED_AT], order.id))
    # Of each field the values of all orders, the earliest order's first.
    columns = list(zip(*[order.values for order in orders], strict=True))
    created_at = _latest_non_null(orders, columns, GROUP_CREATED_AT)
    return View(
        group_id,
        _customer_id(orders, columns),
        sum(columns[TOTAL]),
        columns[CREATED_AT][0] if created_at is None else created_at,
        max([order.updated_at for order in orders]),
        _latest_non_null(orders, columns, GROUP_DISPLAY_ID),
        _latest_non_null(orders, columns, CART_ID),
        _distinct(columns[CURRENCY_CODE]),
        _distinct(columns[SELLER_ID]),
        _distinct(columns[STATUS]),
        _distinct(columns[SALES_CHANNEL_ID]),
        _distinct(columns[PAYMENT_STATUS]),
        _distinct(columns[FULFILLMENT_STATUS]),
        orders,
    )


def indexed(group: View) -> Indexed:
    fields = (
        ("of:customer_id:", (group.customer_id,)),
        ("of:seller_id:", group.seller_ids),
        ("of:status:", group.statuses),
        ("of:sales_channel_id:", group.sales_channel_ids),
        ("of:payment_status:", group.payment_statuses),
        ("of:fulfillment_status:", group.fulfillment_statuses),
        ("of:currency_code:", group.currency_codes),
    )
    values = [prefix + value for prefix, found in fields for value in found if value]
    if not all(order.values[CURRENCY_CODE] for order in group.orders):
        values.append("of:currency_code:")
    return Indexed(
        Columns(
            group.created_at // 1000,
            group.updated_at // 1000,
            group.total,
            len(group.seller_ids),
            group.display_id,
        ),
        tuple(values),
        _folded(group.id)
        + b"\xfe"
        + _folded(group.customer_id or "")
        + b"".join([b"\xfd" + _folded(text) for text in _texts(group)])
        + b"".join([order_mark(order.id) for order in group.orders]),
    )


def order_mark(order_id: str) -> bytes:
    """Returns 0xFC and 48 bits of BLAKE2b, by which the group of an order is found; another order may have the same.

    Each byte has six bits, as a continuation byte of UTF-8. A text begins with another byte, so `q` finds no mark.
    """
    return b"\xfc" + b2a_base64(blake2b(order_id.encode(), digest_size=6).digest(), newline=False).translate(_SIX_BITS)


def customer_names(order: Order) -> tuple[str | None, str | None]:
    """Returns the first and the last name. A name that is not split is the first one."""
    values = order.values
    first, last = values[CUSTOMER_FIRST_NAME], values[CUSTOMER_LAST_NAME]
    return first if first or last else values[CUSTOMER_NAME], last


def _folded(text: str) -> bytes:
    return text.casefold().encode()


def _texts(group: View) -> dict[str, None]:
    """Returns what `q` finds the group by beside its id and its customer's, each once, in the order of the orders."""
    found = {} if group.display_id is None else {f"#{group.display_id}": None}
    for order in group.orders:
        values = order.values
        if values[DISPLAY_ID] is not None:
            found[f"#{values[DISPLAY_ID]}"] = None
        for text in (*values[CUSTOM_DISPLAY_ID:CUSTOMER_NAME], " ".join(filter(None, customer_names(order)))):
            if text:
                found[text] = None
    return found


def _distinct(values: tuple[Any, ...]) -> list[str]:
    return sorted(set(values) - _NONE)


def _customer_id(orders: list[Order], columns: list[tuple[Any, ...]]) -> str | None:
    """Who checked out: as the latest event says it, null included; where none does, the earliest order's customer."""
    said = [order for order in orders if order.revisions[GROUP_CUSTOMER_ID] is not None]
    if not said:
        customer: str | None = columns[CUSTOMER_ID][0]
        return customer
    latest: str | None = max(said, key=lambda order: order.revisions[GROUP_CUSTOMER_ID] or ()).values[GROUP_CUSTOMER_ID]
    return latest


def _latest_non_null(orders: list[Order], columns: list[tuple[Any, ...]], field: int) -> Any:
    """The non-null value with the greatest revision."""
    if len(set(columns[field])) == 1:
        return columns[field][0]
    said = [order for order in orders if order.values[field] is not None]
    return max(said, key=lambda order: order.revisions[field] or ()).values[field]
