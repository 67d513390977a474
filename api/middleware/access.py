"""Access rules of routes. Each route states its own: there is no default for a new one."""

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import StrEnum

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope


class Access(StrEnum):
    """The values are those of the settings `..._ACCESS`, but OPERATOR."""

    CREDENTIALS = "credentials"
    # With credentials of an operator. `Gate` checks the credentials, and the route itself whose they are.
    OPERATOR = "operator"
    OPEN = "open"
    # The route does not exist: 401 without credentials, 404 with them.
    OFF = "off"


class RuledRoute(Route):
    """One path with its access rule: GET and HEAD, or others. `slash`: also with a slash at the end.

    `template`: the path in metrics and access log, if it is not `path`.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[[Request], Awaitable[Response]],
        access: Access,
        slash: bool = False,
        template: str | None = None,
        methods: Sequence[str] = ("GET",),
    ) -> None:
        assert access is not Access.OPEN or "{" not in path, (
            "an open path must have no parameters: it is compared before routing"
        )
        super().__init__(path, endpoint, methods=list(methods))
        # An id may contain line breaks. Starlette's `.` does not match one, and its `$` also matches before a last one.
        self.path_regex = re.compile(self.path_regex.pattern.removesuffix("$") + r"\Z", re.DOTALL)
        self.access = access
        self.template = template or self.path_format
        self._slashes = path.count("/")
        self._slash = slash

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Compares the number of slashes before percent-decoding: an encoded one does not separate segments."""
        if scope["type"] == "http":
            raw_path: bytes = scope["raw_path"]
            if self._slash and raw_path.endswith(b"/"):
                raw_path, scope = raw_path[:-1], {**scope, "path": scope["path"][:-1]}
            if raw_path.count(b"/") != self._slashes:
                return Match.NONE, {}
        return super().matches(scope)


def served(routes: Iterable[RuledRoute]) -> list[RuledRoute]:
    return [route for route in routes if route.access is not Access.OFF]


def open_paths(routes: Iterable[RuledRoute]) -> frozenset[bytes]:
    """Returns the raw paths that are answered without credentials. All others, existing or not, need them."""
    return frozenset(route.path.encode() for route in routes if route.access is Access.OPEN)
