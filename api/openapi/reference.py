"""Routes for openapi.json and its interactive page, which loads nothing from other servers.

The files of Swagger UI are those of the package `fastapi-offline`; its application is not used.
"""

from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from api.middleware.access import Access, RuledRoute
from api.openapi.document import rendered

# Relative addresses, so that the page works behind a proxy that adds a prefix.
_PAGE = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Order groups</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
# No validator: it would send the description to a third-party server.
_START = b"""SwaggerUIBundle({
  url: "openapi.json", dom_id: "#page", deepLinking: true, validatorUrl: null, tryItOutEnabled: true,
  persistAuthorization: false, defaultModelsExpandDepth: 0,
});
"""
_HEADERS = {
    # Swagger UI uses inline styles, and icons in `data:` URLs.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, max-age=300",
}


def reference_routes(access: Access) -> list[RuledRoute]:
    """Returns the routes, all with one access rule: the page needs the description."""

    async def description(_: Request) -> Response:
        return _answer(_description(), "application/json")

    async def page(_: Request) -> Response:
        return _answer(_PAGE, "text/html")

    async def start(_: Request) -> Response:
        return _answer(_START, "text/javascript")

    async def script(_: Request) -> Response:
        return _answer(_asset("swagger-ui-bundle.js"), "text/javascript")

    async def style(_: Request) -> Response:
        return _answer(_asset("swagger-ui.css"), "text/css")

    return [
        RuledRoute("/openapi.json", description, access),
        RuledRoute("/docs", page, access),
        RuledRoute("/docs/start.js", start, access),
        RuledRoute("/docs/swagger-ui-bundle.js", script, access),
        RuledRoute("/docs/swagger-ui.css", style, access),
    ]


def _answer(body: bytes, media_type: str) -> Response:
    return Response(body, 200, _HEADERS, media_type=media_type)


@cache
def _description() -> bytes:
    return rendered().encode()


@cache
def _asset(name: str) -> bytes:
    return files("fastapi_offline").joinpath("static", name).read_bytes()
