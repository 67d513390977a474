"""The OpenAPI 3.1 document: clients are generated from it, and tests validate every answer against it."""

import json
from typing import Any

from api.openapi import answers, query
from api.openapi.answers import ANYWHERE, LIST_EXAMPLE, ONE_EXAMPLE, success
from projector.readmodel.query.fields import DEFAULT_FIELDS

# Of the interface, not of the package: it changes when clients have to adapt.
VERSION = "1.0.0"

Json = dict[str, Any]

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
        "tags": [{"name": "Order groups"}, {"name": "Health"}],
        "paths": {
            "/admin/order-groups": {"get": _list()},
            "/admin/order-groups/{id}": {"get": _one()},
            "/health/live": {"get": _live()},
            "/health/ready": {"get": _ready()},
        },
        "components": {
            "schemas": {**query.schemas(), **answers.schemas()},
            "parameters": answers.header_parameters(),
            "headers": answers.headers(),
            "responses": answers.responses(),
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
        "parameters": [*query.list_parameters(), *_request_headers("IfNoneMatch", "XMinPosition")],
        "responses": {
            "200": success(
                "OrderGroupList", "A page, and the count of all groups that match.", LIST_EXAMPLE, versioned=True
            ),
            **_errors("304", "400", "401", *ANYWHERE),
        },
    }


def _one() -> Json:
    group_id = {
        "name": "id",
        "in": "path",
        "required": True,
        "description": "The group's id, percent-encoded.",
        "schema": {"type": "string", "minLength": 1},
        "example": LIST_EXAMPLE["order_groups"][0]["id"],
    }
    fields = query.fields_parameter((*DEFAULT_FIELDS, "orders"))
    return {
        "operationId": "getOrderGroup",
        "summary": "Get one order group",
        "tags": ["Order groups"],
        "parameters": [group_id, fields, *_request_headers("IfNoneMatch", "XMinPosition")],
        "responses": {
            "200": success("OrderGroupAnswer", "The group, by default with its orders.", ONE_EXAMPLE, versioned=True),
            **_errors("304", "400", "401", "404", *ANYWHERE),
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
        "parameters": _request_headers(),
        "responses": {"200": success("State", description, {"status": state}, versioned=False), **_errors(*ANYWHERE)},
    }


def _request_headers(*names: str) -> list[Json]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in (*names, "XRequestId")]


def _errors(*statuses: str) -> Json:
    return {status: {"$ref": f"#/components/responses/{status}"} for status in statuses}
