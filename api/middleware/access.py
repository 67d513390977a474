"""Who may ask for which route. Each route says so itself: there is no default that a new one could fall into."""

import re
from collections.abc import Awaitable, Callable, Iterable
from enum import StrEnum

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope


class Access(StrEnum):
    """Also what the settings `..._ACCESS` may be."""

    CREDENTIALS = "credentials"
    OPEN = "open"
    # The route is not there: 401 without credentials, 404 with them.
    OFF = "off"


class RuledRoute(Route):
    """GET and HEAD of one path, with its rule."""

    def __init__(self, path: str, endpoint: Callable[[Request], Awaitable[Response]], access: Access) -> None:
        assert access is not Access.OPEN or "{" not in path, "an open path is compared as it is, before routing"
        super().__init__(path, endpoint)
        # An id may contain line ends. Starlette's pattern stops at one, and its `$` also matches before the last one.
        self.path_regex = re.compile(self.path_regex.pattern.removesuffix("$") + r"\Z", re.DOTALL)
        self.access = access
        self._slashes = path.count("/")

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """A percent-encoded slash separates nothing: it is part of an id, or of a path that is not there."""
        if scope["type"] == "http" and scope["raw_path"].count(b"/") != self._slashes:
            return Match.NONE, {}
        return super().matches(scope)


def served(routes: Iterable[RuledRoute]) -> list[RuledRoute]:
    return [route for route in routes if route.access is not Access.OFF]


def open_paths(routes: Iterable[RuledRoute]) -> frozenset[bytes]:
    """The only paths that answer without credentials, as they are sent; all others, known or not, ask for them."""
    return frozenset(route.path.encode() for route in routes if route.access is Access.OPEN)
