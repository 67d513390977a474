"""docs/openapi.json is valid, up to date and complete."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.app import create_app
from api.config import ApiConfig
from api.middleware.access import RuledRoute
from api.openapi.document import openapi, rendered
from api.params.export import EXPORT_PARAMETERS
from api.params.operators import OPERATORS
from api.params.query import HISTOGRAM_PARAMETERS, LIST_PARAMETERS, ONE_PARAMETERS
from tests.fields import GROUP_FIELDS, ORDER_FIELDS, RELATIONS, SORT_FIELDS

SPEC = openapi()
OPERATIONS = {path: item["get"] for path, item in SPEC["paths"].items()}
LIST, ONE = OPERATIONS["/admin/order-groups"], OPERATIONS["/admin/order-groups/{id}"]
EXPORT = OPERATIONS["/admin/order-groups/export"]
CHANGES = OPERATIONS["/admin/order-groups/changes"]
HISTOGRAM = OPERATIONS["/admin/order-groups/histogram"]
# Served, but not part of the interface: the description itself, pages for people, and what machines read.
NOT_DESCRIBED = ("/openapi.json", "/docs", "/metrics", "/console")


def test_the_committed_file_is_what_is_generated() -> None:
    path = Path(__file__).parents[2] / "docs" / "openapi.json"
    assert path.read_text(encoding="utf-8") == rendered(), "run: make docs"


def test_it_is_openapi_3_1() -> None:
    assert SPEC["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(SPEC).iter_errors()] == []


def resolved(node: Any) -> Any:
    while isinstance(node, dict) and "$ref" in node:
        found: Any = SPEC
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def query_names(operation: Any) -> set[str]:
    return {p["name"] for p in map(resolved, operation["parameters"]) if p["in"] == "query"}


def test_every_route_is_described() -> None:
    routes = create_app(ApiConfig(redis_url="redis://localhost", jwt_secret="s" * 32)).router.routes
    paths = {route.path.replace(":path}", "}") for route in routes if isinstance(route, RuledRoute)}
    assert {path for path in paths if path != "/" and not path.startswith(NOT_DESCRIBED)} == OPERATIONS.keys()


def test_every_parameter_operator_and_field_is_described() -> None:
    assert {name.removesuffix("[]") for name in query_names(LIST)} == set(LIST_PARAMETERS)
    assert query_names(OPERATIONS["/admin/order-groups/explain"]) == query_names(LIST)
    assert query_names(CHANGES) == query_names(LIST)
    assert {name.removesuffix("[]") for name in query_names(HISTOGRAM)} == set(HISTOGRAM_PARAMETERS)
    assert query_names(ONE) == set(ONE_PARAMETERS)
    assert {name.removesuffix("[]") for name in query_names(EXPORT)} == set(EXPORT_PARAMETERS)
    schemas = SPEC["components"]["schemas"]
    assert tuple(schemas["OrderGroup"]["properties"]) == GROUP_FIELDS
    order = schemas["Order"]["properties"]
    assert tuple(order) == (*ORDER_FIELDS, *RELATIONS)
    assert {name: tuple(order[name]["properties"]) for name in RELATIONS} == RELATIONS
    for kind in ("Date", "Number"):
        assert tuple(schemas[f"{kind}Operators"]["properties"]) == OPERATORS
    order = next(p for p in LIST["parameters"] if p.get("name") == "order")
    assert set(order["schema"]["enum"]) == {sign + field for field in SORT_FIELDS for sign in ("", "-")}


def test_only_the_health_routes_need_no_credentials() -> None:
    assert {next(iter(way)) for way in SPEC["security"]} == SPEC["components"]["securitySchemes"].keys()
    assert {path for path, operation in OPERATIONS.items() if operation.get("security") == []} == {
        "/health/live",
        "/health/ready",
    }


@pytest.mark.parametrize("path", OPERATIONS)
def test_every_error_is_described(path: str) -> None:
    always = {"200", "405", "408", "413", "414", "431", "500", "503"}
    one = {"304", "400", "401", "404"}
    counting = {"400", "401", "429"}
    wanted = {"/admin/order-groups": {"304", *counting}, "/admin/order-groups/{id}": one}
    wanted["/admin/orders/{id}/order-group"] = {"429", *one}
    wanted["/admin/order-groups/export"] = {"400", "401"}
    wanted["/admin/order-groups/explain"] = counting
    wanted["/admin/order-groups/changes"] = counting
    wanted["/admin/order-groups/histogram"] = {"304", *counting}
    assert OPERATIONS[path]["responses"].keys() >= always | wanted.get(path, set())


def contents() -> Iterator[tuple[str, Any]]:
    for path, operation in OPERATIONS.items():
        for status, response in operation["responses"].items():
            for content in resolved(response).get("content", {}).values():
                yield f"{path} {status}", content


def test_every_answer_has_a_valid_example() -> None:
    found = list(contents())
    assert len(found) > 25
    for where, content in found:
        schema = {**content["schema"], "components": SPEC["components"]}
        assert Draft202012Validator(schema).is_valid(content["example"]), where


def test_no_parameter_has_an_example_that_swagger_ui_would_send() -> None:
    """Swagger UI sends what has one: all filters at once, which match nothing, and a position to wait for."""
    parameters = [*map(resolved, [*LIST["parameters"], *ONE["parameters"], *HISTOGRAM["parameters"]])]
    assert {one["name"] for one in parameters if "example" in one or "examples" in one} == set()
    assert [one["name"] for one in parameters if one.get("required")] == ["id", "by"]
