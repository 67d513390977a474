"""Schemas, headers and responses of answers for the OpenAPI document, with examples."""

import json
from typing import Any

from api import errors as problems
from api.http import limits
from api.http.limits import Refusal
from api.openapi import counted
from api.openapi.forms import Json, exactly
from api.openapi.groups import GROUP_PROPERTIES, ORDER_PROPERTIES
from api.params.query import LIMIT_MAX
from projector.readmodel.query.explain import MEANINGS
from projector.readmodel.query.plan import PlanTaken

_POSITION = "orders/0@81234,orders/1@90210"


_KINDS = (
    *("invalid_data", "not_found", "not_allowed", "forbidden", "conflict"),
    *("too_many_requests", "unavailable", "unknown_error"),
)


def schemas() -> Json:
    return {
        "Order": {
            "type": "object",
            "description": "One seller's part of a checkout. `fields` selects the fields.",
            "properties": ORDER_PROPERTIES,
            "additionalProperties": False,
        },
        "OrderGroup": {
            "type": "object",
            "description": "A whole checkout. `fields` selects the fields.",
            "properties": GROUP_PROPERTIES,
            "required": ["id"],
            "additionalProperties": False,
        },
        "OrderGroupList": exactly(
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
            _optional={
                **counted.list_properties(),
                "next": {
                    "type": ["string", "null"],
                    "description": "Only with `after`: that of the next page, null if this is the last one.",
                },
            },
        ),
        **counted.schemas(),
        "OrderGroupAnswer": exactly(order_group={"$ref": "#/components/schemas/OrderGroup"}),
        "Explained": exactly(
            plan={"enum": [str(plan) for plan in PlanTaken]},
            steps={
                "type": "array",
                "items": exactly(
                    call={"type": "integer", "minimum": 1},
                    shard={"type": "integer", "minimum": 0},
                    what={"enum": [*MEANINGS]},
                    key={"type": "string", "description": "In Redis."},
                    groups={"type": "integer", "minimum": 0, "description": "Left after the step."},
                    meaning={"type": "string"},
                ),
            },
            count={"type": "integer", "minimum": 0},
            rows={"type": "integer", "minimum": 0},
            ms={"type": "number", "minimum": 0, "description": "With all round trips to Redis."},
        ),
        "Unauthorized": exactly(message={"const": "Unauthorized"}),
        "Error": {
            **exactly(
                type={"enum": [*_KINDS]},
                message={"type": "string"},
            ),
            "description": "The body of every error but 401 and 500.",
        },
        "UnknownError": exactly(
            code={"const": "unknown_error"}, type={"const": "unknown_error"}, message={"type": "string"}
        ),
        "State": exactly(status={"enum": ["live", "ready"]}),
    }


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
        "Link": {
            "description": 'Only with `after`, and not at the end: `<URL of the next page>; rel="next"`.',
            "schema": {"type": "string"},
        },
        "X-Export-Count": {
            "description": "The groups that the export holds; those that vanish while it is sent are left out.",
            "schema": {"type": "integer", "minimum": 0},
        },
        "Content-Disposition": {"description": "The name of the file.", "schema": {"type": "string"}},
        "Cache-Control": {"description": "Must be revalidated at each use.", "schema": {"const": "private, no-cache"}},
        "Retry-After": {
            "description": "Seconds to wait before the next attempt.",
            "schema": {"type": "integer", "minimum": 1},
            "example": problems.RETRY_AFTER_S,
        },
    }


def header_parameters() -> Json:
    """Returns the headers of requests, by the name of their component."""
    return {
        "IfNoneMatch": _header(
            "If-None-Match",
            'An earlier `ETag`, such as `"4f2a"`: 304 while the answer is unchanged, without reading a document.',
        ),
        "XMinPosition": _header(
            "X-Min-Position",
            "Positions that the publisher returned, such as `orders/0@81235`. The request waits until the answer "
            "reflects them, for a limited time, then 503: to read your own writes.",
            {"type": "string", "pattern": rf"^{_ONE_POSITION}( *, *{_ONE_POSITION})*$"},
        ),
        "LastEventID": _header(
            "Last-Event-ID", "The `id` of the last event that the client has read, to go on behind it."
        ),
        "XRequestId": _header(
            "X-Request-Id",
            "The id of this request in the answer and in the access log; ignored if it does not match the pattern.",
        ),
    }


def _header(name: str, description: str, schema: Json | None = None) -> Json:
    return {"name": name, "in": "header", "description": description, "schema": schema or {"type": "string"}}


# Statuses that every path may answer, with or without credentials.
ANYWHERE = ("405", "408", "413", "414", "431", "500", "503")


def responses() -> Json:
    """Returns the errors, by status. Constant bodies are taken from the code as examples."""
    invalid = "Invalid request: Expected type: 'number' for field 'limit', got: 'abc'"
    missing = "OrderGroup id not found: og_unknown"
    return {
        "304": {"description": "Not modified since the `ETag` of the request. No body.", "headers": carried()},
        "400": _error("Invalid parameters; the message has at most three issues.", _typed("invalid_data", invalid)),
        "401": _error("Missing, invalid or expired credentials.", _sent(problems.unauthorized()), "Unauthorized"),
        "404": _error("No such group.", _typed("not_found", missing), extra=("X-Projection-Position",)),
        "405": _error(
            "Only GET and HEAD are served; of actions, also POST.",
            _typed("not_allowed", "Method not allowed: POST"),
        ),
        "408": _refusal("The request did not arrive in time.", limits.TOO_SLOW),
        "413": _refusal("The request has a body, or too long a one for an action.", limits.BODY_NOT_WANTED),
        "414": _refusal("The URL is too long.", limits.url_too_long(limits.URL_BYTES_MAX)),
        "429": _error(
            "Too much work of this client is in progress, or there are too many streams.",
            _sent(problems.too_many()),
            extra=("Retry-After",),
        ),
        "431": _refusal("The headers are too large, or too many.", limits.HEADERS_TOO_LARGE),
        "500": _error("An internal error.", _sent(problems.unknown()), "UnknownError"),
        "503": _error(
            "Redis is unreachable or slow, there are too many requests, `X-Min-Position` was not reached in time, or "
            "the keys that check tokens cannot be read.",
            _sent(problems.unavailable()),
            extra=("Retry-After",),
        ),
    }


def request_headers(*names: str) -> list[Json]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in (*names, "XRequestId")]


def errors(*statuses: str) -> Json:
    return {status: {"$ref": f"#/components/responses/{status}"} for status in statuses}


def success(schema: str, description: str, example: Json, *, versioned: bool, more: tuple[str, ...] = ()) -> Json:
    """Returns a 200. `versioned`: with the headers that identify the state of the read model. `more`: other headers."""
    headers = carried((*(VERSIONED if versioned else ("X-Request-Id",)), *more))
    return {"description": description, "headers": headers, "content": _content(schema, example)}


def error(description: str, kind: str, message: str) -> Json:
    """Returns an error with a body of the usual shape."""
    return _error(description, _typed(kind, message))


def _typed(kind: str, message: str) -> Json:
    return {"type": kind, "message": message}


def _sent(response: Any) -> Json:
    found: Json = json.loads(response.body)
    return found


def _error(description: str, example: Json, schema: str = "Error", extra: tuple[str, ...] = ()) -> Json:
    names = ("X-Request-Id", *extra)
    return {"description": description, "headers": carried(names), "content": _content(schema, example)}


def _refusal(description: str, refusal: Refusal) -> Json:
    return _error(description, _typed(refusal.kind, refusal.message))


def _content(schema: str, example: Json) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}, "example": example}}


VERSIONED = ("ETag", "X-Projection-Position", "X-Request-Id", "Cache-Control")


def carried(names: tuple[str, ...] = VERSIONED) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
