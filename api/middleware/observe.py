"""The outermost middleware: request id, access log, metrics, and the answer to an unexpected exception."""

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

# Key of the Exchange in the scope of a request.
KEY = "order_groups.exchange"

_GIVEN_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_METHODS = {"GET": "GET", "HEAD": "HEAD"}
_OTHER = "other"

_log = structlog.get_logger("api")
# Ids need not be secret, and reading random bytes from the kernel would cost more than the rest of this module.
_random = random.Random()


class Exchange:
    """One request and its answer so far. The route sets `plan` and `rows`. `started`: by `perf_counter`.

    A request counts as concurrent until its answer begins, but for the time between `release_slot` and `retake_slot`,
    while it waits.
    """

    __slots__ = (
        *("_send", "bytes_sent", "headers", "plan", "refused", "request_id", "rows", "status"),
        *("answered_s", "release_slot", "retake_slot", "started"),
    )

    def __init__(self, send: Send, request_id: bytes, started: float) -> None:
        self._send = send
        self.request_id = request_id
        # Of every answer, also of one that a middleware makes.
        self.headers = [(b"x-request-id", request_id)]
        # 0 until the answer begins.
        self.status = 0
        self.bytes_sent = 0
        self.started = started
        # Seconds until a stream began: how long it takes is up to its client, and no measure of ours.
        self.answered_s: float | None = None
        self.plan = "-"
        self.rows: int | None = None
        self.refused: str | None = None
        self.release_slot: Callable[[], None] = _nothing
        self.retake_slot: Callable[[], None] = _nothing

    def begin_stream(self) -> None:
        self.answered_s = perf_counter() - self.started

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self.headers]
            self.release_slot()
        else:
            self.bytes_sent += len(message.get("body", b""))
        await self._send(message)


def _nothing() -> None:
    """For routes that need no slot."""


def exchange_of(scope: Scope) -> Exchange:
    found = scope[KEY]
    assert isinstance(found, Exchange)
    return found


class Observer:
    """Records the outcome of requests. `templates`: the paths of routes, with at most one parameter."""

    def __init__(self, metrics: Metrics, log: AccessLog, templates: Sequence[str]) -> None:
        self.metrics = metrics
        self._log = log
        self._paths = {path: path for path in templates if "{" not in path}
        self._prefixes = [(path[: path.index("{")], path) for path in templates if "{" in path]

    def answered(self, scope: Scope, exchange: Exchange, seconds: float) -> None:
        method: str = scope["method"]
        route = self._route(scope["path"])
        measured_s = seconds if exchange.answered_s is None else exchange.answered_s
        self.metrics.answered(route, _METHODS.get(method, _OTHER), exchange.plan, exchange.status, measured_s)
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
        """Records a connection that never became a request. Returns its request id."""
        request_id = new_id().decode("ascii")
        self.metrics.refused(refusal.reason)
        if self._log.is_on:
            self._log.write(
                Line("-", "-", "-", refusal.status, 0.0, 0, "-", None, refusal.reason, request_id, now()),
            )
        return request_id

    def _route(self, path: str) -> str:
        """Returns the template of the path, `other` if there is none: clients must not be able to create labels."""
        found = self._paths.get(path, self._paths.get(path.removesuffix("/")))
        if found is None:
            found = next((template for prefix, template in self._prefixes if path.startswith(prefix)), _OTHER)
        return found


class Observed:
    """ASGI middleware around all others."""

    def __init__(self, app: ASGIApp, observer: Observer) -> None:
        self._app = app
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        exchange = scope[KEY] = Exchange(send, given_id(scope["headers"]) or new_id(), started)
        try:
            await self._app(scope, receive, exchange.send)
        except Exception as error:
            # Broad on purpose: after any exception the client gets an id, and the log has it with the traceback.
            _log.error("unknown_error", request_id=exchange.request_id.decode("ascii"), exc_info=error)
            if exchange.status:
                raise
            await errors.unknown()(scope, receive, exchange.send)
        finally:
            self._observer.answered(scope, exchange, perf_counter() - started)
            # It refers to the scope: only the garbage collector would free that cycle.
            del scope[KEY]


def given_id(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Returns the X-Request-Id of a request; None if it is absent or not 1 to 128 printable ASCII characters."""
    for name, value in headers:
        if name == b"x-request-id":
            return value if _GIVEN_ID.fullmatch(value) else None
    return None


def new_id() -> bytes:
    return b"%016x" % _random.getrandbits(64)
