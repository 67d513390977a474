"""Every route has the access rule of this table: a new route that is not in it fails here."""

import ast
import hashlib
import inspect
from pathlib import Path
from typing import Any

import pytest

from api.admin import operators
from api.app import create_app
from api.config import ApiConfig
from api.middleware import auth, tokens
from api.middleware.access import Access, RuledRoute, open_paths, served

STATIC = Path(__file__).parents[2] / "api" / "console" / "static"
# The console's files hold no data.
_FILES = (f"/console/{one.relative_to(STATIC).as_posix()}" for one in STATIC.rglob("*.*") if one.name != "index.html")
CONSOLE = dict.fromkeys(("/", "/console", *_FILES), Access.OPEN)
# path -> the rule without any setting
RULES = {
    **CONSOLE,
    "/admin/order-groups": Access.CREDENTIALS,
    "/admin/order-groups/export": Access.CREDENTIALS,
    "/admin/order-groups/explain": Access.CREDENTIALS,
    "/admin/order-groups/histogram": Access.CREDENTIALS,
    "/admin/order-groups/changes": Access.CREDENTIALS,
    "/admin/order-groups/{id:path}": Access.CREDENTIALS,
    "/admin/orders/{id:path}/order-group": Access.CREDENTIALS,
    "/admin/projector/pipeline": Access.OPERATOR,
    "/admin/projector/parked": Access.OPERATOR,
    "/admin/projector/actions": Access.OPERATOR,
    "/admin/projector/actions/{id}": Access.OPERATOR,
    "/health/live": Access.OPEN,
    "/health/ready": Access.OPEN,
    "/openapi.json": Access.CREDENTIALS,
    "/metrics": Access.CREDENTIALS,
    "/docs": Access.CREDENTIALS,
    "/docs/start.js": Access.CREDENTIALS,
    "/docs/swagger-ui-bundle.js": Access.CREDENTIALS,
    "/docs/swagger-ui.css": Access.CREDENTIALS,
}
# setting -> prefixes of the paths that it rules
SETTINGS = {"openapi_access": ("/openapi.json", "/docs"), "metrics_access": ("/metrics",)}
KEY_HASH = hashlib.sha256(b"key").hexdigest()


def routes(**settings: Any) -> list[RuledRoute]:
    found = create_app(ApiConfig(redis_url="redis://localhost", api_key_hashes=(KEY_HASH,), **settings)).router.routes
    ruled = [route for route in found if isinstance(route, RuledRoute)]
    assert ruled == list(found), "a route without a rule"
    return ruled


def test_every_route_has_the_rule_of_the_table() -> None:
    assert {route.path: route.access for route in routes()} == RULES


def test_the_console_can_be_off() -> None:
    assert len(CONSOLE) > 15
    assert {route.path for route in routes(console=False)} == RULES.keys() - CONSOLE.keys()


@pytest.mark.parametrize("access", [Access.OPEN, Access.OFF])
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_rules_its_own_routes_and_no_other(setting: str, access: Access) -> None:
    mine = {path for path in RULES if path.startswith(SETTINGS[setting])}
    assert mine
    expected = {path: access if path in mine else rule for path, rule in RULES.items()}
    found = {route.path: route.access for route in routes(**{setting: access})}
    assert found == {path: rule for path, rule in expected.items() if rule is not Access.OFF}


async def _nothing(_: object) -> Any:
    raise AssertionError("must not be called")


def test_a_route_must_have_a_rule() -> None:
    assert inspect.signature(RuledRoute).parameters["access"].default is inspect.Parameter.empty
    with pytest.raises(AssertionError, match="an open path must have no parameters"):
        RuledRoute("/things/{id}", _nothing, Access.OPEN)


def test_a_route_that_is_off_is_not_there() -> None:
    there = served([RuledRoute(f"/{access}", _nothing, access) for access in Access])
    assert {route.path for route in there} == {"/open", "/credentials", "/operator"}
    assert open_paths(there) == {b"/open"}


def test_secrets_are_compared_in_constant_time() -> None:
    """Read off the source, since a clock shows nothing on a busy machine: our keys by `compare_digest`,
    signatures by PyJWT; no digest or token meets `==` or `in`."""
    text = inspect.getsource(auth.Credentials)
    assert "hmac.compare_digest(digest, known)" in text
    assert "self._jws.decode(" in inspect.getsource(tokens.Verifier.claims)
    assert "hmac.compare_digest(digest, known)" in inspect.getsource(operators.Operators)
    tree = ast.parse(text)
    compared = {
        ast.unparse(operand) for node in ast.walk(tree) if isinstance(node, ast.Compare) for operand in _operands(node)
    }
    assert compared
    assert not {name for name in compared if name in ("secret", "token", "key", "known", "digest", "keys")}


def _operands(node: ast.Compare) -> list[ast.expr]:
    return [node.left, *node.comparators]
