"""A second, plain implementation of the fold and its documents, as the contract describes them.

Neither this nor tests/fields.py imports the project. Events are CloudEvents as dicts; a group is a dict
like the served document with all relations of orders, with `total` as a Decimal.
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.fields import EVENT_FIELDS, EVENT_TIMES, ORDER_FIELDS, ORDER_TIMES

Revision = tuple[int, datetime, bytes]
Event = dict[str, Any]


def revision(event: Event) -> Revision:
    data = event["data"]
    digest = hashlib.blake2b(f"{event['source']}\0{event['id']}".encode(), digest_size=8).digest()
    return data.get("version", 0), parse_time(data["updated_at"]), digest


def parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def shown_time(time: datetime) -> str:
    return f"{time.year:04}-{time:%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z"


def groups(events: Iterable[Event]) -> dict[str, dict[str, Any]]:
    """Returns the documents of listed groups, by id."""
    orders: dict[tuple[str, str], list[Event]] = {}
    for event in events:
        if event["type"] in ("order.created", "order.updated"):
            orders.setdefault((event["data"]["order_group_id"], event["data"]["id"]), []).append(event)
    members: dict[str, list[dict[str, Any]]] = {}
    for (group_id, order_id), history in orders.items():
        members.setdefault(group_id, []).append(_order(order_id, history))
    documents = {group_id: document(group_id, found) for group_id, found in members.items()}
    return {group_id: found for group_id, found in documents.items() if found}


def _order(order_id: str, history: list[Event]) -> dict[str, Any]:
    """Returns the latest value of each field, from events sorted by revision. `revisions` has their revisions."""
    history = sorted(history, key=revision)
    order: dict[str, Any] = {
        "id": order_id,
        "updated_at": parse_time(history[-1]["data"]["updated_at"]),
        "revisions": {},
    }
    for event in history:
        for field in EVENT_FIELDS:
            if field in event["data"]:
                order[field] = _value(field, event["data"][field])
                order["revisions"][field] = revision(event)
    return order


def _value(field: str, value: Any) -> Any:
    if value is None:
        return None
    if field in EVENT_TIMES:
        return parse_time(value)
    if field == "currency_code":
        return value.lower()
    return Decimal(str(value)) if field == "total" else value


def document(group_id: str, members: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Returns None for a group that is not listed."""
    required = ("seller_id", "status", "total", "created_at")
    counted = [order for order in members if all(field in order for field in required)]
    counted = [order for order in counted if order.get("deleted_at") is None]
    if not counted:
        return None
    counted.sort(key=lambda order: (order["created_at"], order["id"]))
    currencies = {order.get("currency_code") for order in counted}
    return {
        "id": group_id,
        "customer_id": _customer_id(counted),
        "seller_count": len({order["seller_id"] for order in counted}),
        "total": sum((order["total"] for order in counted), Decimal()),
        "created_at": shown_time(_last_value(counted, "order_group_created_at") or counted[0]["created_at"]),
        "updated_at": shown_time(max(order["updated_at"] for order in counted)),
        "display_id": _last_value(counted, "order_group_display_id"),
        "cart_id": _last_value(counted, "cart_id"),
        "currency_code": currencies.pop() if len(currencies) == 1 else None,
        "seller_ids": sorted({order["seller_id"] for order in counted}),
        "statuses": sorted({order["status"] for order in counted}),
        "sales_channel_ids": _values(counted, "sales_channel_id"),
        "payment_statuses": _values(counted, "payment_status"),
        "fulfillment_statuses": _values(counted, "fulfillment_status"),
        "order_count": len(counted),
        "orders": [_row(order) for order in counted],
    }


def _last_value(counted: list[dict[str, Any]], field: str) -> Any:
    found = [order for order in counted if order.get(field) is not None]
    return max(found, key=lambda order: order["revisions"][field])[field] if found else None


def _values(counted: list[dict[str, Any]], field: str) -> list[str]:
    return sorted({order[field] for order in counted if order.get(field) is not None})


def _customer_id(counted: list[dict[str, Any]]) -> Any:
    found = [order for order in counted if "order_group_customer_id" in order]
    if not found:
        return counted[0].get("customer_id")
    latest = max(found, key=lambda order: order["revisions"]["order_group_customer_id"])
    return latest["order_group_customer_id"]


def _row(order: dict[str, Any]) -> dict[str, Any]:
    row = {field: order.get(field) for field in ORDER_FIELDS}
    times = {field: shown_time(order[field]) for field in ORDER_TIMES if row[field]}
    return row | times | _relations(order)


def _relations(order: dict[str, Any]) -> dict[str, Any]:
    first, last = order.get("customer_first_name"), order.get("customer_last_name")
    if not first and not last:
        first = order.get("customer_name")
    customer = {"id": order.get("customer_id"), "first_name": first, "last_name": last}
    return {"seller": {"id": order["seller_id"], "name": order.get("seller_name")}, "customer": customer}


def searched(document: dict[str, Any]) -> list[str]:
    """Returns the texts that `q` looks through beside the group's id and its customer's, each once."""
    orders = document["orders"]
    found = [f"#{document['display_id']}"] if document["display_id"] is not None else []
    for order in orders:
        customer = order["customer"]
        found += [f"#{order['display_id']}"] if order["display_id"] is not None else []
        found += [order["custom_display_id"], order["seller"]["name"], order["email"]]
        found.append(" ".join(name for name in (customer["first_name"], customer["last_name"]) if name))
    return [text for text in dict.fromkeys(found) if text]


def indexes(document: dict[str, Any]) -> list[str]:
    """Returns the sorted sets that have the group, each scored by its created_at."""
    values = {"customer_id": [document["customer_id"]], "seller_id": document["seller_ids"]}
    values |= {"status": document["statuses"], "sales_channel_id": document["sales_channel_ids"]}
    values |= {"payment_status": document["payment_statuses"], "fulfillment_status": document["fulfillment_statuses"]}
    values |= {"currency_code": sorted({order["currency_code"] for order in document["orders"]} - {None})}
    found = ["by:created_at", *(f"of:{field}:{value}" for field, some in values.items() for value in some if value)]
    return found if all(order["currency_code"] for order in document["orders"]) else [*found, "of:currency_code:"]


def entries(document: dict[str, Any]) -> dict[tuple[str, str], float]:
    """(index, group id) -> score, for all sorted sets."""
    return {(index, document["id"]): _ms(document["created_at"]) for index in indexes(document)}


def _ms(text: str) -> float:
    return float(round(parse_time(text).timestamp() * 1000))


def parse(document: bytes) -> dict[str, Any]:
    """Parses a served document, with exact totals."""
    found: dict[str, Any] = json.loads(document, parse_float=Decimal)
    found["total"] = Decimal(found["total"])
    for order in found["orders"]:
        order["total"] = Decimal(order["total"])
    return found
