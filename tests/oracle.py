"""A second, plain implementation of the fold and its documents, as the contract describes them.

Neither this nor tests/fields.py imports the project. Events are CloudEvents as dicts; a group is a dict
like the served document, with `total` as a Decimal.
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.fields import EVENT_FIELDS, ORDER_FIELDS

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
    documents = {group_id: _group(group_id, found) for group_id, found in members.items()}
    return {group_id: document for group_id, document in documents.items() if document}


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
    if field in ("created_at", "deleted_at"):
        return parse_time(value)
    return Decimal(str(value)) if field == "total" else value


def _group(group_id: str, members: list[dict[str, Any]]) -> dict[str, Any] | None:
    required = ("seller_id", "status", "total", "created_at")
    counted = [order for order in members if all(field in order for field in required)]
    counted = [order for order in counted if order.get("deleted_at") is None]
    if not counted:
        return None
    counted.sort(key=lambda order: (order["created_at"], order["id"]))
    currencies = {order.get("currency_code") for order in counted}
    return {
        "id": group_id,
        "customer_id": counted[0].get("customer_id"),
        "seller_count": len({order["seller_id"] for order in counted}),
        "total": sum((order["total"] for order in counted), Decimal()),
        "created_at": shown_time(counted[0]["created_at"]),
        "updated_at": shown_time(max(order["updated_at"] for order in counted)),
        "display_id": _last_value(counted, "order_group_display_id"),
        "cart_id": _last_value(counted, "cart_id"),
        "currency_code": currencies.pop() if len(currencies) == 1 else None,
        "seller_ids": sorted({order["seller_id"] for order in counted}),
        "statuses": sorted({order["status"] for order in counted}),
        "sales_channel_ids": sorted({order.get("sales_channel_id") for order in counted} - {None}),
        "order_count": len(counted),
        "orders": [_row(order) for order in counted],
    }


def _last_value(counted: list[dict[str, Any]], field: str) -> Any:
    found = [order for order in counted if order.get(field) is not None]
    return max(found, key=lambda order: order["revisions"][field])[field] if found else None


def _row(order: dict[str, Any]) -> dict[str, Any]:
    row = {field: order.get(field) for field in ORDER_FIELDS}
    return row | {"created_at": shown_time(order["created_at"]), "updated_at": shown_time(order["updated_at"])}


def entries(document: dict[str, Any]) -> dict[tuple[str, str], float]:
    """(index, group id) -> score, for all sorted sets."""
    group_id = document["id"]
    created = _ms(document["created_at"])
    display_id = document["display_id"]
    found = {
        ("by:created_at", group_id): created,
        ("by:updated_at", group_id): _ms(document["updated_at"]),
        ("by:total", group_id): float(document["total"]),
        ("by:seller_count", group_id): float(document["seller_count"]),
        ("by:display_id", group_id): float("inf") if display_id is None else float(display_id),
        ("by:id", group_id): 0.0,
    }
    values = {"customer_id": [document["customer_id"]], "seller_id": document["seller_ids"]}
    values |= {"status": document["statuses"], "sales_channel_id": document["sales_channel_ids"]}
    for field, members in values.items():
        found |= {(f"of:{field}:{value}", group_id): created for value in members if value}
    return found


def _ms(text: str) -> float:
    return float(round(parse_time(text).timestamp() * 1000))


def parse(document: bytes) -> dict[str, Any]:
    """Parses a served document, with exact totals."""
    found: dict[str, Any] = json.loads(document, parse_float=Decimal)
    found["total"] = Decimal(found["total"])
    for order in found["orders"]:
        order["total"] = Decimal(order["total"])
    return found
