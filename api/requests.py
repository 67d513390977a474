"""What routes read from a request, and how they answer one."""

from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response

from api.freshness.conditions import Conditions, parse_conditions
from api.freshness.waiting import Waiting
from api.middleware.observe import exchange_of
from projector.readmodel.query.engine import Engine
from projector.readmodel.query.positions import Snapshot


def query_string(request: Request) -> str:
    raw: bytes = request.scope["query_string"]
    return raw.decode("utf-8", "replace")


def segments(request: Request) -> list[str]:
    """Returns the segments of the path, each percent-decoded once, without a slash at the end."""
    raw: bytes = request.scope["raw_path"]
    return [unquote(segment) for segment in raw.decode("ascii", "replace").removesuffix("/").split("/")]


def conditions_of(request: Request) -> Conditions:
    """Raises InvalidRequest."""
    scope = request.scope
    return parse_conditions(scope["raw_path"] + b"?" + scope["query_string"], scope["headers"])


class Client:
    """The client of a request, as `Waiting` uses it."""

    __slots__ = ("_request", "release_slot", "retake_slot")

    def __init__(self, request: Request) -> None:
        self._request = request
        exchange = exchange_of(request.scope)
        self.release_slot = exchange.release_slot
        self.retake_slot = exchange.retake_slot

    async def disconnected(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass


async def unchanged(conditions: Conditions, engine: Engine, waiting: Waiting, client: Client) -> Response | None:
    """Returns a 304 if the client has the answer already, by If-None-Match. Reads nothing but positions."""
    if not conditions.if_none_match:
        return None
    return not_modified(conditions, await waiting.fresh(conditions.minimum, engine.snapshot, client))


def not_modified(conditions: Conditions, snapshot: Snapshot) -> Response | None:
    """Returns a 304 if the client has the answer from that snapshot already."""
    return Response(status_code=304, headers=conditions.headers(snapshot)) if conditions.match(snapshot) else None
