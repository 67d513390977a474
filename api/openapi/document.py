"""The OpenAPI 3.1 document: clients are generated from it, and tests validate every answer against it."""

import json

from api.openapi import answers, counted, export, operators, query
from api.openapi.answers import ANYWHERE, errors, request_headers, success
from api.openapi.changes import changes
from api.openapi.forms import Json
from api.openapi.groups import EXPLAIN_EXAMPLE, LIST_EXAMPLE, ONE_EXAMPLE
from projector.readmodel.query.fields import DEFAULT_FIELDS

# Of the interface, not of the package: it changes when clients have to adapt.
VERSION = "1.0.0"

_SECURITY = {
    "jwt": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "HS256, RS256 or ES256, as configured; `actor_type` is `user`, `actor_id` is not empty, "
        "`exp` is in the future. Tokens of the marketplace are accepted unchanged.",
    },
    "apiKeyBearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "apiKeyBasic": {
        "type": "http",
        "scheme": "basic",
        "description": "An API key as the user name, without a password, as Medusa sends secret keys.",
    },
}


def openapi() -> Json:
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Order groups",
            "version": VERSION,
            "summary": "The order groups of a marketplace: sorted, filtered, with exact counts.",
            "description": f"The endpoint of a Medusa v2 / Mercur marketplace; its clients work unchanged."
            f"\n\n{query.FORMS}",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "This server."}],
        "security": [{name: []} for name in _SECURITY],
        "tags": [{"name": "Order groups"}, {"name": operators.TAG}, {"name": "Health"}],
        "paths": {
            "/admin/order-groups": {"get": _list()},
            "/admin/order-groups/export": {"get": _export()},
            "/admin/order-groups/explain": {"get": _explain()},
            "/admin/order-groups/changes": {"get": changes()},
            "/admin/order-groups/histogram": {"get": _histogram()},
            "/admin/order-groups/{id}": {"get": _one()},
            "/admin/orders/{id}/order-group": {"get": _of_order()},
            **operators.paths(),
            "/health/live": {"get": _live()},
            "/health/ready": {"get": _ready()},
        },
        "components": {
            "schemas": {**query.schemas(), **answers.schemas(), **operators.schemas()},
            "parameters": answers.header_parameters(),
            "headers": answers.headers(),
            "responses": {**answers.responses(), **operators.responses()},
            "securitySchemes": _SECURITY,
        },
    }


def rendered() -> str:
    return json.dumps(openapi(), indent=2, ensure_ascii=False) + "\n"


def _list() -> Json:
    return {
        "operationId": "listOrderGroups",
        "summary": "List order groups",
        "tags": ["Order groups"],
        "parameters": [*query.list_parameters(), *request_headers("IfNoneMatch", "XMinPosition")],
        "responses": {
            "200": success(
                "OrderGroupList",
                "A page, and the count of all groups that match.",
                LIST_EXAMPLE,
                versioned=True,
                more=("Link",),
            ),
            **errors("304", "400", "401", "429", *ANYWHERE),
        },
    }


def _export() -> Json:
    return {
        "operationId": "exportOrderGroups",
        "summary": "Export order groups as a file",
        "tags": ["Order groups"],
        "parameters": [*export.parameters(), *request_headers("XMinPosition")],
        "responses": {"200": export.success(), **errors("400", "401", "429", *ANYWHERE)},
    }


def _explain() -> Json:
    return {
        "operationId": "explainOrderGroups",
        "summary": "Explain how a list is answered",
        "tags": ["Order groups"],
        "parameters": [*query.list_parameters(), *request_headers()],
        "responses": {
            "200": success(
                "Explained",
                "The plan, its steps in Redis, and the time of one run.",
                EXPLAIN_EXAMPLE,
                versioned=False,
                more=("X-Projection-Position", "Cache-Control"),
            ),
            **errors("400", "401", "429", *ANYWHERE),
        },
    }


def _histogram() -> Json:
    return {
        "operationId": "countOrderGroups",
        "summary": "Count order groups by day, week or month",
        "tags": ["Order groups"],
        "parameters": [
            counted.by_parameter(),
            *query.filter_parameters(),
            counted.sums_parameter(),
            *request_headers("IfNoneMatch", "XMinPosition"),
        ],
        "responses": {
            "200": success(
                "Histogram",
                "The groups that match, by when they were created. Each interval is exact, and reflects at least the "
                "positions that are named.",
                counted.HISTOGRAM_EXAMPLE,
                versioned=True,
            ),
            **errors("304", "400", "401", "429", *ANYWHERE),
        },
    }


def _one() -> Json:
    return _group("getOrderGroup", "Get one order group", "The group's id", LIST_EXAMPLE["order_groups"][0]["id"])


def _of_order() -> Json:
    example = ONE_EXAMPLE["order_group"]["orders"][0]["id"]
    return _group("getOrderGroupOfOrder", "Get the order group of an order", "The order's id", example, "429")


def _group(operation: str, summary: str, of: str, example: str, *more: str) -> Json:
    """`more`: other errors."""
    found_by = {
        "name": "id",
        "in": "path",
        "required": True,
        # No `example`: Swagger UI would send it.
        "description": f"{of}, percent-encoded, such as `{example}`.",
        "schema": {"type": "string", "minLength": 1},
    }
    fields = query.fields_parameter((*DEFAULT_FIELDS, "orders"))
    return {
        "operationId": operation,
        "summary": summary,
        "tags": ["Order groups"],
        "parameters": [found_by, fields, *request_headers("IfNoneMatch", "XMinPosition")],
        "responses": {
            "200": success("OrderGroupAnswer", "The group, by default with its orders.", ONE_EXAMPLE, versioned=True),
            **errors("304", "400", "401", "404", *more, *ANYWHERE),
        },
    }


def _live() -> Json:
    return _health("isLive", "Whether the process is running", "live", "It is running.")


def _ready() -> Json:
    return _health(
        "isReady",
        "Whether lists can be answered, and lag behind the log no more than allowed",
        "ready",
        "Ready for requests; 503 if not.",
    )


def _health(operation: str, summary: str, state: str, description: str) -> Json:
    return {
        "operationId": operation,
        "summary": summary,
        "tags": ["Health"],
        "security": [],
        "parameters": request_headers(),
        "responses": {"200": success("State", description, {"status": state}, versioned=False), **errors(*ANYWHERE)},
    }
