"""`/openapi.json` and `/docs` are complete, and load nothing from other servers or Redis."""

import json
import re

import pytest

from api.middleware.access import Access
from tests.integration.client import BEARER, Api, running

ADDRESS = re.compile(rb"""(?:src|href)="([^"]+)"|url: "([^"]+)\"""")


def asked(api: Api, path: str) -> tuple[str, bytes]:
    """Returns media type and body of a 200."""
    response = api.get(path, {})
    assert response.status_code == 200, path
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy, "no other host is allowed"
    return response.headers["Content-Type"].partition(";")[0], response.content


def test_every_file_of_the_page_is_served() -> None:
    with running("redis://127.0.0.1:1", openapi_access=Access.OPEN) as api:
        kind, page = asked(api, "/docs")
        assert kind == "text/html"
        _, start = asked(api, "/docs/start.js")
        addresses = [(one or other).decode() for one, other in ADDRESS.findall(page + start)]
        # Relative ones: to the path of the page, which has no slash at its end.
        wanted = {"docs/swagger-ui.css", "docs/swagger-ui-bundle.js", "docs/start.js", "openapi.json", "data:,"}
        assert set(addresses) == wanted
        kinds = {path: asked(api, "/" + path) for path in wanted - {"data:,"}}
        assert {path: kind for path, (kind, _) in kinds.items()} == {
            "docs/swagger-ui.css": "text/css",
            "docs/swagger-ui-bundle.js": "text/javascript",
            "docs/start.js": "text/javascript",
            "openapi.json": "application/json",
        }
        assert b"SwaggerUIBundle" in kinds["docs/swagger-ui-bundle.js"][1]
        assert json.loads(kinds["openapi.json"][1])["openapi"].startswith("3.1.")


@pytest.mark.parametrize(("access", "without", "with_them"), [("credentials", 401, 200), ("off", 401, 404)])
def test_access_to_the_reference(access: str, without: int, with_them: int) -> None:
    with running("redis://127.0.0.1:1", openapi_access=Access(access)) as api:
        for path in ("/openapi.json", "/docs", "/docs/start.js"):
            assert api.get(path, {}).status_code == without
            assert api.get(path, BEARER).status_code == with_them
