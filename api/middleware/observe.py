"""Around every request: its id, its line in the access log, its metrics, and the answer where the fault is ours."""

import random
import re
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors
from api.http.limits import Refusal
from api.middleware.accesslog import AccessLog, Line, now, target
from api.middleware.metrics import Metrics

# Where a request carries its Exchange.
KEY = "order_groups.exchange"

_GIVEN_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_METHODS = {"GET": "GET", "HEAD": "HEAD"}
_OTHER = "other"

_log = structlog.get_logger("api")
# Ids need to differ, not to be secret; asking the kernel for each would cost more than all else here.
_random = random.Random()


class Exchange:
    """One request and its answer, as far as it is known by now. The route fills in `plan` and `rows`.

    `on_start` is called once, when the answer begins. Between `step_aside` and `step_back` the request only waits, and
    takes no place among those at work.
    """

    __slots__ = (
        *("_send", "bytes_sent", "on_start", "plan", "refused", "request_id", "rows", "status"),
        *("step_aside", "step_back"),
    )

    def __init__(self, send: Send, request_id: bytes) -> None:
        self._send = send
        self.request_id = request_id
        # 0 until the answer begins.
        self.status = 0
        self.bytes_sent = 0
        self.plan = "-"
        self.rows: int | None = None
        self.refused: str | None = None
        self.on_start: Callable[[], None] | None = None
        self.step_aside: Callable[[], None] = _nothing
        self.step_back: Callable[[], None] = _nothing

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self.request_id)]
            if self.on_start is not None:
                self.on_start()
        else:
            self.bytes_sent += len(message.get("body", b""))
        await self._send(message)


def _nothing() -> None:
    """There are no places: a route that is let in however many are at work."""


def exchange_of(scope: Scope) -> Exchange:
    found = scope[KEY]
    assert isinstance(found, Exchange)
    return found


class Observer:
    """Takes down what became of requests. `templates` are the paths of routes, a parameter in braces at the end."""

    def __init__(self, metrics: Metrics, log: AccessLog, templates: Sequence[str]) -> None:
        self.metrics = metrics
        self._log = log
        self._paths = {path: path for path in templates if "{" not in path}
        self._prefixes = [(path[: path.index("{")], path) for path in templates if "{" in path]

    def answered(self, scope: Scope, exchange: Exchange, seconds: float) -> None:
        method: str = scope["method"]
        route = self._route(scope["path"])
        self.metrics.answered(route, _METHODS.get(method, _OTHER), exchange.plan, exchange.status, seconds)
        if exchange.refused is not None:
            self.metrics.refused(exchange.refused)
        if self._log.is_on:
            self._log.write(
                Line(
                    method,
                    route,
                    target(scope["raw_path"], scope["query_string"]),
                    exchange.status,
                    round(seconds * 1000, 3),
                    0 if method == "HEAD" else exchange.bytes_sent,
                    exchange.plan,
                    exchange.rows,
                    exchange.refused,
                    exchange.request_id.decode("ascii"),
                    now(),
                )
            )

    def refused_on_the_wire(self, refusal: Refusal) -> str:
        """The id of what never became a request."""
        request_id = new_id().decode("ascii")
        self.metrics.refused(refusal.reason)
        if self._log.is_on:
            self._log.write(
                Line("-", "-", "-", refusal.status, 0.0, 0, "-", None, refusal.reason, request_id, now()),
            )
        return request_id

    def _route(self, path: str) -> str:
        """The template of the path, whether it came so far or was refused; `other`: nobody can make up labels."""
        found = self._paths.get(path)
        if found is None:
            found = next((template for prefix, template in self._prefixes if path.startswith(prefix)), _OTHER)
        return found


class Observed:
    """The outermost layer."""

    def __init__(self, app: ASGIApp, observer: Observer) -> None:
        self._app = app
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        exchange = scope[KEY] = Exchange(send, given_id(scope["headers"]) or new_id())
        try:
            await self._app(scope, receive, exchange.send)
        except Exception as error:
            # Of all places this one must be broad: whatever went wrong, the client gets an answer with an id,
            # and the log has the same id beside the traceback.
            _log.error("unknown_error", request_id=exchange.request_id.decode("ascii"), exc_info=error)
            if exchange.status:
                raise
            await errors.unknown()(scope, receive, exchange.send)
        finally:
            self._observer.answered(scope, exchange, perf_counter() - started)
            # It leads back to the scope: left in a circle, each request would wait for the garbage collector.
            del scope[KEY]


def given_id(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    for name, value in headers:
        if name == b"x-request-id":
            return value if _GIVEN_ID.fullmatch(value) else None
    return None


def new_id() -> bytes:
    return b"%016x" % _random.getrandbits(64)
