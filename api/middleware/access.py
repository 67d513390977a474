"""Access rules of routes. Each route states its own: there is no default for a new one."""

import re
from collections.abc import Awaitable, Callable, Iterable
from enum import StrEnum

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope


class Access(StrEnum):
    """The values are those of the settings `..._ACCESS`."""

    CREDENTIALS = "credentials"
    OPEN = "open"
    # The route does not exist: 401 without credentials, 404 with them.
    OFF = "off"


class RuledRoute(Route):
    """GET and HEAD of one path, with its access rule."""

    def __init__(self, path: str, endpoint: Callable[[Request], Awaitable[Response]], access: Access) -> None:
        assert access is not Access.OPEN or "{" not in path, (
            "an open path must have no parameters: it is compared before routing"
        )
        super().__init__(path, endpoint)
        # An id may contain line breaks. Starlette's `.` does not match one, and its `$` also matches before a last one.
        self.path_regex = re.compile(self.path_regex.pattern.removesuffix("$") + r"\Z", re.DOTALL)
        self.access = access
        self._slashes = path.count("/")

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Compares the number of slashes before percent-decoding: an encoded one does not separate segments."""
        if scope["type"] == "http" and scope["raw_path"].count(b"/") != self._slashes:
            return Match.NONE, {}
        return super().matches(scope)


def served(routes: Iterable[RuledRoute]) -> list[RuledRoute]:
    return [route for route in routes if route.access is not Access.OFF]


def open_paths(routes: Iterable[RuledRoute]) -> frozenset[bytes]:
    """Returns the raw paths that are answered without credentials. All others, existing or not, need them."""
    return frozenset(route.path.encode() for route in routes if route.access is Access.OPEN)
