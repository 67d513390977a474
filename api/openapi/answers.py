"""Schemas, headers and responses of answers for the OpenAPI document, with examples."""

import json
from typing import Any

from api import errors
from api.http import limits
from api.http.limits import Refusal
from api.params.query import LIMIT_MAX

Json = dict[str, Any]

_POSITION = "orders/0@81234,orders/1@90210"
_ORDER: Json = {
    "id": "order_01A",
    "display_id": 41,
    "seller_id": "sel_01",
    "customer_id": "cus_01HXYZ",
    "sales_channel_id": "sc_web",
    "status": "pending",
    "currency_code": "eur",
    "total": 3700,
    "created_at": "2026-06-01T10:00:00.000Z",
    "updated_at": "2026-06-01T10:00:00.000Z",
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
ONE_EXAMPLE: Json = {"order_group": {**_GROUP, "seller_count": 1, "total": 3700, "orders": [_ORDER]}}


def _text(description: str, **more: Any) -> Json:
    return {"type": "string", "description": description, **more}


def _or_null(kind: str, description: str, **more: Any) -> Json:
    return {"type": [kind, "null"], "description": description, **more}


_TIME = {"format": "date-time", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"}
_TOTAL = "Exact: at most six decimal places, without trailing zeros."
_TEXTS: Json = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}

_ORDER_PROPERTIES: Json = {
    "id": _text("The order's id."),
    "display_id": _or_null("integer", "The order's own number."),
    "seller_id": _text("The seller's id."),
    "customer_id": _or_null("string", "null for a guest."),
    "sales_channel_id": _or_null("string", "The sales channel's id."),
    "status": _text("Such as `pending`, `completed`, `canceled`; other values are passed through."),
    "currency_code": _or_null("string", "Three letters."),
    "total": {"type": "number", "description": _TOTAL},
    "created_at": _text("UTC.", **_TIME),
    "updated_at": _text("UTC.", **_TIME),
}
_GROUP_PROPERTIES: Json = {
    "id": _text("The group's id, always included."),
    "customer_id": _or_null("string", "The customer of the earliest order; null for a guest."),
    "seller_count": {"type": "integer", "minimum": 1, "description": "The number of different sellers."},
    "total": {"type": "number", "description": f"The sum of the orders in every status. {_TOTAL}"},
    "created_at": _text("When the earliest order was created. UTC.", **_TIME),
    "updated_at": _text("When an order was last changed. UTC.", **_TIME),
    "display_id": _or_null("integer", "The group's number."),
    "cart_id": _or_null("string", "The cart that was checked out."),
    "currency_code": _or_null("string", "The currency of all orders; null if they differ."),
    "seller_ids": {**_TEXTS, "description": "Sorted."},
    "statuses": {**_TEXTS, "description": "Sorted."},
    "sales_channel_ids": {**_TEXTS, "description": "Sorted."},
    "order_count": {"type": "integer", "minimum": 1, "description": "The number of orders."},
    "orders": {
        "type": "array",
        "items": {"$ref": "#/components/schemas/Order"},
        "description": "Sorted by `created_at`, then `id`. With a `seller_id` filter only the orders of these sellers.",
    },
}


def schemas() -> Json:
    return {
        "Order": {
            "type": "object",
            "description": "One seller's part of a checkout. `fields` selects the fields.",
            "properties": _ORDER_PROPERTIES,
            "additionalProperties": False,
        },
        "OrderGroup": {
            "type": "object",
            "description": "A whole checkout. `fields` selects the fields.",
            "properties": _GROUP_PROPERTIES,
            "required": ["id"],
            "additionalProperties": False,
        },
        "OrderGroupList": _exactly(
            order_groups={
                "type": "array",
                "items": {"$ref": "#/components/schemas/OrderGroup"},
                "maxItems": LIMIT_MAX,
            },
            count={
                "type": "integer",
                "minimum": 0,
                "description": "All groups that match, in the same snapshot as the page.",
            },
            offset={"type": "integer", "minimum": 0},
            limit={"type": "integer", "minimum": 0, "maximum": LIMIT_MAX},
        ),
        "OrderGroupAnswer": _exactly(order_group={"$ref": "#/components/schemas/OrderGroup"}),
        "Unauthorized": _exactly(message={"const": "Unauthorized"}),
        "Error": {
            **_exactly(
                type={"enum": ["invalid_data", "not_found", "not_allowed", "unavailable", "unknown_error"]},
                message={"type": "string"},
            ),
            "description": "The body of every error but 401 and 500.",
        },
        "UnknownError": _exactly(
            code={"const": "unknown_error"}, type={"const": "unknown_error"}, message={"type": "string"}
        ),
        "State": _exactly(status={"enum": ["live", "ready"]}),
    }


def _exactly(**properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


# One partition's next offset, as api/freshness/positions.py reads it.
_ONE_POSITION = "[^/@;, ]+/[0-9]{1,10}@[0-9]{1,19}"
_REQUEST_ID: Json = {"type": "string", "pattern": "^[!-~]{1,128}$"}


def headers() -> Json:
    """Returns the headers of answers, by name."""
    return {
        "ETag": {
            "description": "Identifies the state of the read model and the query; for `If-None-Match`.",
            "schema": {"type": "string", "pattern": r'^(W/)?"[^"]*"$'},
        },
        "X-Projection-Position": {
            "description": "What the answer reflects: of each partition of the log the next offset to apply.",
            "schema": {"type": "string"},
            "example": _POSITION,
        },
        "X-Request-Id": {
            "description": "That of the request, or a new one; also in the access log.",
            "schema": _REQUEST_ID,
        },
        "Cache-Control": {"description": "Must be revalidated at each use.", "schema": {"const": "private, no-cache"}},
        "Retry-After": {
            "description": "Seconds to wait before the next attempt.",
            "schema": {"type": "integer", "minimum": 1},
            "example": errors.RETRY_AFTER_S,
        },
    }


def header_parameters() -> Json:
    """Returns the headers of requests, by the name of their component."""
    return {
        "IfNoneMatch": _header(
            "If-None-Match",
            "An earlier `ETag`: 304 while the answer is unchanged, without reading a document.",
            '"4f2a"',
        ),
        "XMinPosition": _header(
            "X-Min-Position",
            "Positions that the publisher returned. The request waits until the answer reflects them, for a limited "
            "time, then 503: to read your own writes.",
            "orders/0@81235",
            {"type": "string", "pattern": rf"^{_ONE_POSITION}( *, *{_ONE_POSITION})*$"},
        ),
        "XRequestId": _header(
            "X-Request-Id",
            "The id of this request in the answer and in the access log; ignored if it does not match the pattern.",
            "req-1",
        ),
    }


def _header(name: str, description: str, example: str, schema: Json | None = None) -> Json:
    schema = schema or {"type": "string"}
    return {"name": name, "in": "header", "description": description, "schema": schema, "example": example}


# Statuses that every path may answer, with or without credentials.
ANYWHERE = ("405", "408", "413", "414", "431", "500", "503")


def responses() -> Json:
    """Returns the errors, by status. Constant bodies are taken from the code as examples."""
    invalid = "Invalid request: Expected type: 'number' for field 'limit', got: 'abc'"
    missing = "OrderGroup id not found: og_unknown"
    return {
        "304": {"description": "Not modified since the `ETag` of the request. No body.", "headers": _carried()},
        "400": _error("Invalid parameters; the message has at most three issues.", _typed("invalid_data", invalid)),
        "401": _error("Missing, invalid or expired credentials.", _sent(errors.unauthorized()), "Unauthorized"),
        "404": _error("No such group.", _typed("not_found", missing), extra=("X-Projection-Position",)),
        "405": _error("Only GET and HEAD are served.", _typed("not_allowed", "Method not allowed: POST")),
        "408": _refusal("The request did not arrive in time.", limits.TOO_SLOW),
        "413": _refusal("The request has a body.", limits.BODY_NOT_WANTED),
        "414": _refusal("The URL is too long.", limits.url_too_long(limits.URL_BYTES_MAX)),
        "431": _refusal("The headers are too large, or too many.", limits.HEADERS_TOO_LARGE),
        "500": _error("An internal error.", _sent(errors.unknown()), "UnknownError"),
        "503": _error(
            "Redis is unreachable or slow, there are too many requests, or `X-Min-Position` was not reached in time.",
            _sent(errors.unavailable()),
            extra=("Retry-After",),
        ),
    }


def success(schema: str, description: str, example: Json, *, versioned: bool) -> Json:
    """Returns a 200. `versioned`: with the headers that identify the state of the read model."""
    carried = _carried() if versioned else _carried(("X-Request-Id",))
    return {"description": description, "headers": carried, "content": _content(schema, example)}


def _typed(kind: str, message: str) -> Json:
    return {"type": kind, "message": message}


def _sent(response: Any) -> Json:
    found: Json = json.loads(response.body)
    return found


def _error(description: str, example: Json, schema: str = "Error", extra: tuple[str, ...] = ()) -> Json:
    names = ("X-Request-Id", *extra)
    return {"description": description, "headers": _carried(names), "content": _content(schema, example)}


def _refusal(description: str, refusal: Refusal) -> Json:
    return _error(description, _typed(refusal.kind, refusal.message))


def _content(schema: str, example: Json) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}, "example": example}}


_VERSIONED = ("ETag", "X-Projection-Position", "X-Request-Id", "Cache-Control")


def _carried(names: tuple[str, ...] = _VERSIONED) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
