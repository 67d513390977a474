"""Lets pages of other origins ask from a browser: answers preflights, adds the headers of CORS.

Not Starlette's middleware: it compares expressions with the whole origin, refuses preflights in a shape of its own, and
leaves out `Vary` where an origin is not allowed, so that a cache could give that answer to one that is.
"""

import re
from typing import Self

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import ConfigError
from api.freshness.positions import HEADER
from api.http.limits import WIRE_KEY
from api.middleware.observe import exchange_of

# Seconds for which a browser may keep the answer to a preflight.
PREFLIGHT_S = 600
# Longest origin that is compared, in characters: a host name has at most 253. Bounds the time of expressions.
ORIGIN_CHARACTERS_MAX = 300

# As browsers write it: in lower case, without a path.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\sA-Z]+")
# As in Medusa's `buildRegexpIfValid`.
_EXPRESSION = re.compile(r"([/~@;%#'])(.*?)\1([gimsuy]*)")
# The flags that change what one comparison finds.
_FLAGS = frozenset("ims")

# What no other origin may ask for: the paths of operators, as decoded.
EXEMPT = "/admin/projector/"

_VARY = (b"vary", b"Origin")
_CREDENTIALS = (b"access-control-allow-credentials", b"true")
_EXPOSED = (
    b"access-control-expose-headers",
    f"Content-Disposition, ETag, Link, Retry-After, X-Export-Count, {HEADER}, X-Request-Id".encode(),
)
_OF_PREFLIGHTS = {"Access-Control-Allow-Methods": "GET, HEAD", "Access-Control-Max-Age": str(PREFLIGHT_S)}


class Origins:
    """The origins that may ask from a browser."""

    __slots__ = ("_expressions", "_names")

    def __init__(self, names: frozenset[str], expressions: tuple[re.Pattern[str], ...]) -> None:
        self._names = names
        self._expressions = expressions

    @classmethod
    def of(cls, text: str) -> Self:
        """`text`: as Medusa's ADMIN_CORS, origins and expressions such as `/\\.shop\\.com$/`, separated by commas.

        Raises ConfigError for what could never match, which Medusa ignores.
        """
        names, expressions = set(), []
        for part in filter(None, map(str.strip, text.split(","))):
            if match := _EXPRESSION.fullmatch(part):
                expressions.append(_compiled(part, *match.group(2, 3)))
            elif _ORIGIN.fullmatch(part):
                names.add(part)
            else:
                raise _bad(part)
        return cls(frozenset(names), tuple(expressions))

    def __bool__(self) -> bool:
        return bool(self._names or self._expressions)

    def allow(self, origin: str) -> bool:
        return origin in self._names or (
            len(origin) <= ORIGIN_CHARACTERS_MAX and any(one.search(origin) for one in self._expressions)
        )


def _compiled(part: str, pattern: str, flags: str) -> re.Pattern[str]:
    try:
        return re.compile(f"(?a{''.join(_FLAGS.intersection(flags))}){pattern}")
    except re.error:
        raise _bad(part) from None


def _bad(part: str) -> ConfigError:
    return ConfigError(
        f"API_CORS_ORIGINS: expected https://host[:port] or /expression/, separated by commas, got {part!r}"
    )


class Cors:
    """Middleware outside `Gate`, since a preflight has no credentials, and browsers must be able to read a 401."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(EXEMPT):
            await self._app(scope, receive, send)
            return
        added, headers = exchange_of(scope).headers, Headers(scope=scope)
        added.append(_VARY)
        origin = headers.get("origin")
        if origin is None or not self._origins.allow(origin):
            await self._app(scope, receive, send)
            return
        added += [(b"access-control-allow-origin", origin.encode("latin-1")), _CREDENTIALS]
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            # As `Gate` does, which is not reached.
            scope.pop(WIRE_KEY, None)
            wanted = headers.get("access-control-request-headers", "")
            await Response(None, 204, {**_OF_PREFLIGHTS, "Access-Control-Allow-Headers": wanted})(scope, receive, send)
            return
        added.append(_EXPOSED)
        await self._app(scope, receive, send)
