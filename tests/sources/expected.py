"""What the list must say of a marketplace, computed from its plain tables; and what a log says, folded naively."""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import psycopg

from tests.sources.mercur import rows

Pair = tuple[str, str]
Fields = dict[str, Any]
# Those of the contract that an order's own tables decide.
FIELDS = (
    *("seller_id", "status", "total", "customer_id", "sales_channel_id", "currency_code", "display_id", "created_at"),
    *("updated_at", "cart_id", "order_group_display_id"),
)
_OF_ORDER = (
    *("status", "customer_id", "sales_channel_id", "currency_code", "display_id", "created_at"),
    *("email", "custom_display_id", "canceled_at"),
)


def orders(connection: "psycopg.Connection[Any]") -> dict[Pair, Fields]:
    """Returns all fields of each order that counts, by order and group."""
    by_id = {one["id"]: one for one in rows(connection, '"order"')}
    groups = {one["id"]: one for one in rows(connection, "order_group")}
    names = {one["id"]: one["name"] for one in rows(connection, "seller")}
    customers = {one["id"]: one for one in rows(connection, "customer")}
    sellers = {one["order_id"]: one["seller_id"] for one in live(rows(connection, "order_order_seller_seller"))}
    totals = {
        (one["order_id"], one["version"]): Decimal(one["totals"].get("raw_current_order_total", {}).get("value", 0))
        for one in live(rows(connection, "order_summary"))
    }
    payments, fulfilments = _payments(connection), _fulfilments(connection)
    found = {}
    for link in live(rows(connection, "order_group_order")):
        order, group = by_id.get(link["order_id"]), groups.get(link["order_group_id"])
        seller = sellers.get(link["order_id"])
        if not order or not group or not seller or order["deleted_at"] or group["deleted_at"]:
            continue
        customer = customers.get(order["customer_id"], {})
        touched = [one["updated_at"] for one in (group, link) if one["updated_at"] > one["created_at"]]
        found[order["id"], group["id"]] = {
            "id": order["id"],
            "order_group_id": group["id"],
            "seller_id": seller,
            "seller_name": names.get(seller),
            "total": totals.get((order["id"], order["version"]), Decimal()).quantize(Decimal("1e-6"), ROUND_HALF_UP),
            "updated_at": max(order["updated_at"], *touched) if touched else order["updated_at"],
            "cart_id": group["cart_id"],
            "order_group_display_id": group["display_id"],
            "order_group_created_at": group["created_at"],
            "order_group_customer_id": group["customer_id"],
            "customer_first_name": customer.get("first_name"),
            "customer_last_name": customer.get("last_name"),
            "payment_status": payment_status(payments.get(order["id"], [])),
            "fulfillment_status": fulfillment_status(*fulfilments(order)),
            "deleted_at": None,
            **{name: order[name] for name in _OF_ORDER},
        }
    return found


def live(found: Iterable[Fields]) -> list[Fields]:
    return [one for one in found if one["deleted_at"] is None]


def _payments(connection: "psycopg.Connection[Any]") -> dict[str, list[Fields]]:
    collections = {one["id"]: one for one in live(rows(connection, "payment_collection"))}
    of_cart: dict[str, list[Fields]] = {}
    for link in live(rows(connection, "cart_payment_collection")):
        if link["payment_collection_id"] in collections:
            of_cart.setdefault(link["cart_id"], []).append(collections[link["payment_collection_id"]])
    return {link["order_id"]: of_cart.get(link["cart_id"], []) for link in live(rows(connection, "order_cart"))}


def _fulfilments(connection: "psycopg.Connection[Any]") -> Any:
    by_id = {one["id"]: one for one in live(rows(connection, "fulfillment"))}
    links, items = live(rows(connection, "order_fulfillment")), live(rows(connection, "order_item"))

    def of(order: Fields) -> tuple[list[Fields], bool]:
        own = [by_id[link["fulfillment_id"]] for link in links
               if link["order_id"] == order["id"] and link["fulfillment_id"] in by_id]  # fmt: skip
        left = [item for item in items if (item["order_id"], item["version"]) == (order["id"], order["version"])
                and item["fulfilled_quantity"] < item["quantity"]]  # fmt: skip
        return own, bool(left)

    return of


def payment_status(collections: list[Fields]) -> str:
    """As Medusa 2.18 says it for all payment collections of an order."""
    counts: dict[str, float] = {}
    for one in collections:
        for amount, name in (("captured_amount", "captured"), ("refunded_amount", "refunded")):
            if (one[amount] or 0) > 0:
                counts[name] = counts.get(name, 0) + (1 if one[amount] == one["amount"] else 0.5)
        counts[one["status"]] = counts.get(one["status"], 0) + 1
    due = len(collections) - counts.get("canceled", 0)
    for name in ("refunded", "captured", "authorized"):
        if counts.get(name):
            return name if counts[name] == due else f"partially_{name}"
    if counts.get("canceled") and due == 0:
        return "canceled"
    return "awaiting" if counts.get("awaiting") else "not_paid"


def fulfillment_status(fulfilments: list[Fields], items_left: bool) -> str:
    """As Medusa 2.18 says it; a fulfilment counts by the first of these times that it has."""
    times = {"canceled_at": "canceled", "delivered_at": "delivered", "shipped_at": "shipped", "packed_at": "fulfilled"}
    counts: dict[str, int] = {}
    for one in fulfilments:
        name = next((name for time, name in times.items() if one[time]), None)
        if name:
            counts[name] = counts.get(name, 0) + 1
    due = len(fulfilments) - counts.get("canceled", 0)
    for name in ("delivered", "shipped", "fulfilled"):
        if counts.get(name):
            return name if counts[name] == due and not items_left else f"partially_{name}"
    return "canceled" if counts.get("canceled") and due == 0 else "not_fulfilled"


def told(log: Path) -> dict[Pair, Fields]:
    """Returns FIELDS of each order that counts after all events of an SQLite log; the greatest version wins."""
    newest: dict[Pair, Fields] = {}
    for data in events(log):
        pair = data["id"], data.get("order_group_id", "")
        if pair[1] and data["version"] >= newest.get(pair, {}).get("version", -1):
            newest[pair] = data
    return {pair: _typed(data) for pair, data in newest.items() if data.get("deleted_at") is None}


def events(log: Path) -> list[Fields]:
    """Returns the data of each event, in the order of the log."""
    if not log.exists():
        return []
    with closing(sqlite3.connect(log)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'log'").fetchall():
            return []
        return [json.loads(value)["data"] for (value,) in connection.execute('SELECT value FROM log ORDER BY "offset"')]


def only_fields(found: dict[Pair, Fields]) -> dict[Pair, Fields]:
    return {pair: {name: fields[name] for name in FIELDS} for pair, fields in found.items()}


def _typed(data: Fields) -> Fields:
    typed = {name: data.get(name) for name in FIELDS}
    for name in ("created_at", "updated_at"):
        typed[name] = datetime.fromisoformat(str(typed[name])).astimezone(UTC)
    return {**typed, "total": Decimal(str(typed["total"]))}
