"""The fields of groups and of their orders for the OpenAPI document, with examples."""

from typing import Any

from api.openapi.forms import Json

_ORDER: Json = {
    "id": "order_01A",
    "display_id": 41,
    "custom_display_id": None,
    "email": "ada@example.com",
    "seller_id": "sel_01",
    "customer_id": "cus_01HXYZ",
    "sales_channel_id": "sc_web",
    "status": "pending",
    "payment_status": "captured",
    "fulfillment_status": "not_fulfilled",
    "currency_code": "eur",
    "total": 3700,
    "created_at": "2026-06-01T10:00:00.000Z",
    "updated_at": "2026-06-01T10:00:00.000Z",
    "canceled_at": None,
}
_GROUP: Json = {
    "id": "og_01HXYZ8Q2M4N6P8R0T2V4W6X8Y",
    "customer_id": "cus_01HXYZ",
    "seller_count": 2,
    "total": 7400,
    "created_at": "2026-06-01T10:00:00.000Z",
    "updated_at": "2026-06-01T10:00:00.000Z",
}
LIST_EXAMPLE: Json = {"order_groups": [_GROUP], "count": 1, "offset": 0, "limit": 20}
EXPLAIN_EXAMPLE: Json = {
    "plan": "rank",
    "steps": [
        {
            **{"call": 1, "shard": 0, "what": "rank", "key": "og:{0.0}:by:created_at", "groups": 1},
            "meaning": "page read by rank",
        }
    ],
    **{"count": 1, "rows": 1, "ms": 0.42},
}
ONE_EXAMPLE: Json = {"order_group": {**_GROUP, "seller_count": 1, "total": 3700, "orders": [_ORDER]}}


def _text(description: str, **more: Any) -> Json:
    return {"type": "string", "description": description, **more}


def _or_null(kind: str, description: str, **more: Any) -> Json:
    return {"type": [kind, "null"], "description": description, **more}


_TIME = {"format": "date-time", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"}
_TOTAL = "Exact: at most six decimal places, without trailing zeros."
_TEXTS: Json = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}


def _relation(name: str, /, **properties: Json) -> Json:
    return {
        "type": "object",
        "description": f"Only if `fields` has `*orders.{name}` or a field of it.",
        "properties": properties,
        "required": ["id"],
        "additionalProperties": False,
    }


ORDER_PROPERTIES: Json = {
    "id": _text("The order's id."),
    "display_id": _or_null("integer", "The order's own number."),
    "custom_display_id": _or_null("string", "The order's own number, if it is no integer."),
    "email": _or_null("string", "The customer's e-mail."),
    "seller_id": _text("The seller's id."),
    "customer_id": _or_null("string", "null for a guest."),
    "sales_channel_id": _or_null("string", "The sales channel's id."),
    "status": _text("Such as `pending`, `completed`, `canceled`; other values are passed through."),
    "payment_status": _or_null("string", "Such as `not_paid`, `captured`; other values are passed through."),
    "fulfillment_status": _or_null("string", "Such as `not_fulfilled`, `shipped`; other values are passed through."),
    "currency_code": _or_null("string", "Three letters, in lower case."),
    "total": {"type": "number", "description": _TOTAL},
    "created_at": _text("UTC.", **_TIME),
    "updated_at": _text("UTC.", **_TIME),
    "canceled_at": _or_null("string", "When the order was canceled. UTC.", **_TIME),
    "seller": _relation("seller", id=_text("The seller's id."), name=_or_null("string", "The seller's name.")),
    "customer": _relation(
        "customer",
        id=_or_null("string", "null for a guest."),
        first_name=_or_null("string", "The first name; the whole name, if the source does not split it."),
        last_name=_or_null("string", "The last name."),
    ),
}
GROUP_PROPERTIES: Json = {
    "id": _text("The group's id, always included."),
    "customer_id": _or_null("string", "Who checked out: where no event says, the customer of the earliest order."),
    "seller_count": {"type": "integer", "minimum": 1, "description": "The number of different sellers."},
    "total": {"type": "number", "description": f"The sum of the orders in every status. {_TOTAL}"},
    "created_at": _text("When the group was created: where no event says, its earliest order. UTC.", **_TIME),
    "updated_at": _text("When an order was last changed. UTC.", **_TIME),
    "display_id": _or_null("integer", "The group's number."),
    "cart_id": _or_null("string", "The cart that was checked out."),
    "currency_code": _or_null("string", "The currency of all orders; null if they differ."),
    "seller_ids": {**_TEXTS, "description": "Sorted."},
    "statuses": {**_TEXTS, "description": "Sorted."},
    "sales_channel_ids": {**_TEXTS, "description": "Sorted."},
    "payment_statuses": {**_TEXTS, "description": "Sorted."},
    "fulfillment_statuses": {**_TEXTS, "description": "Sorted."},
    "order_count": {"type": "integer", "minimum": 1, "description": "The number of orders."},
    "orders": {
        "type": "array",
        "items": {"$ref": "#/components/schemas/Order"},
        "description": "Sorted by `created_at`, then `id`. With a `seller_id` filter only the orders of these sellers.",
    },
}
