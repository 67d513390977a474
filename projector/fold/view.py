"""Aggregates the counted orders of a group into its document and its index entries."""

from typing import Any

from msgspec import Struct

from events.contract.amount import AMOUNT_ONE
from projector.fold.order import (
    CART_ID,
    CREATED_AT,
    CURRENCY_CODE,
    CUSTOMER_ID,
    DISPLAY_ID,
    GROUP_DISPLAY_ID,
    SALES_CHANNEL_ID,
    SELLER_ID,
    STATUS,
    TOTAL,
    Order,
)
from projector.fold.state import Group
from projector.readmodel.schema.document import Document, OrderRow, amount_json, parts, time_text

INFINITY = float("inf")

# Index name without the shard's prefix (`by:total`, `of:status:pending`) -> score.
Entries = dict[str, float]


class View(Struct, frozen=True, gc=False):
    """One listed group. Times in Unix microseconds, `total` in millionths, `orders` by created_at, then id."""

    id: str
    customer_id: str | None
    total: int
    created_at: int
    updated_at: int
    display_id: int | None
    cart_id: str | None
    currency_code: str | None
    seller_ids: list[str]
    statuses: list[str]
    sales_channel_ids: list[str]
    orders: list[Order]


def view(group_id: str, group: Group) -> View | None:
    """Returns None for a group without counted orders, which is not listed."""
    orders = [order for order in group.values() if order.counted]
    if not orders:
        return None
    if len(orders) > 1:
        orders.sort(key=lambda order: (order.values[CREATED_AT], order.id))
    rows = [order.values for order in orders]
    earliest = rows[0]
    currencies = {row[CURRENCY_CODE] for row in rows}
    return View(
        group_id,
        earliest[CUSTOMER_ID],
        sum([row[TOTAL] for row in rows]),
        earliest[CREATED_AT],
        max([order.updated_at for order in orders]),
        _latest_non_null(orders, GROUP_DISPLAY_ID),
        _latest_non_null(orders, CART_ID),
        currencies.pop() if len(currencies) == 1 else None,
        sorted({row[SELLER_ID] for row in rows}),
        sorted({row[STATUS] for row in rows}),
        sorted({row[SALES_CHANNEL_ID] for row in rows} - {None}),
        orders,
    )


def document(view: View) -> tuple[bytes, bytes]:
    """Returns row and rest, the two parts of the JSON document."""
    return parts(
        Document(
            id=view.id,
            customer_id=view.customer_id,
            seller_count=len(view.seller_ids),
            total=amount_json(view.total),
            created_at=time_text(view.created_at),
            updated_at=time_text(view.updated_at),
            display_id=view.display_id,
            cart_id=view.cart_id,
            currency_code=view.currency_code,
            seller_ids=view.seller_ids,
            statuses=view.statuses,
            sales_channel_ids=view.sales_channel_ids,
            order_count=len(view.orders),
            orders=[_row(order) for order in view.orders],
        )
    )


def entries(view: View | None) -> Entries:
    """Returns all index entries of the group. Empty strings are not indexed: no filter accepts them."""
    if view is None:
        return {}
    created_ms = view.created_at // 1000
    found: Entries = {
        "by:created_at": created_ms,
        "by:updated_at": view.updated_at // 1000,
        "by:total": view.total / AMOUNT_ONE,
        "by:seller_count": len(view.seller_ids),
        "by:display_id": INFINITY if view.display_id is None else view.display_id,
        "by:id": 0,
    }
    if view.customer_id:
        found["of:customer_id:" + view.customer_id] = created_ms
    for seller_id in view.seller_ids:
        found["of:seller_id:" + seller_id] = created_ms
    for status in view.statuses:
        found["of:status:" + status] = created_ms
    for channel in view.sales_channel_ids:
        if channel:
            found["of:sales_channel_id:" + channel] = created_ms
    return found


def search_text(view: View) -> bytes:
    """Returns the text that `q` searches. 0xFE never occurs in UTF-8, so no match spans id and customer."""
    return view.id.casefold().encode() + b"\xfe" + (view.customer_id or "").casefold().encode()


def _latest_non_null(orders: list[Order], field: int) -> Any:
    """The non-null value with the greatest revision."""
    if len(orders) == 1:
        return orders[0].values[field]
    pairs = [(order.revisions[field] or (0, 0, 0), order.values[field]) for order in orders]
    return max((pair for pair in pairs if pair[1] is not None), key=lambda pair: pair[0], default=((0, 0, 0), None))[1]


def _row(order: Order) -> OrderRow:
    values = order.values
    return OrderRow(
        id=order.id,
        display_id=values[DISPLAY_ID],
        seller_id=values[SELLER_ID],
        customer_id=values[CUSTOMER_ID],
        sales_channel_id=values[SALES_CHANNEL_ID],
        status=values[STATUS],
        currency_code=values[CURRENCY_CODE],
        total=amount_json(values[TOTAL]),
        created_at=time_text(values[CREATED_AT]),
        updated_at=time_text(order.updated_at),
    )
