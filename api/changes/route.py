"""`GET /admin/order-groups/changes`: parses the request, and sends the stream."""

import asyncio
import time
from collections.abc import Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api import errors
from api.changes.events import parse_event_id
from api.changes.subscriber import Subscriber
from api.changes.subscriptions import Subscriptions, TooMany
from api.middleware.access import Access, RuledRoute
from api.middleware.auth import identity_of
from api.middleware.observe import exchange_of
from api.middleware.work import Work
from api.params.query import parse_list
from api.requests import Client, query_string
from projector.readmodel.query.plan import cost

CHANGES_PATH = "/admin/order-groups/changes"
# Without `X-Accel-Buffering`, nginx would keep events until it has a few kilobytes of them.
_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "Vary": "Authorization",
    "X-Accel-Buffering": "no",
}


def changes_route(subscriptions: Subscriptions, work: Work, on_sent: Callable[[], None]) -> RuledRoute:
    """`on_sent` is called for each event, and each heartbeat."""

    async def changes(request: Request) -> Response:
        raw = query_string(request)
        query = parse_list(raw) if raw else None
        exchange = exchange_of(request.scope)
        if request.method == "HEAD":
            return _Head()
        last, identity = parse_event_id(request.scope["headers"]), identity_of(request.scope)
        admitted = partial(work.admitted, identity.name, 1 if query is None else cost(query))
        found = await subscriptions.subscribe(query, last, identity.expires_s, admitted)
        if isinstance(found, TooMany):
            exchange.refused = found.reason
            return errors.too_many(found.message)
        exchange.begin_stream()
        return _Stream(found, Client(request), on_sent, lambda: subscriptions.remove(found))

    return RuledRoute(CHANGES_PATH, changes, Access.CREDENTIALS, slash=True)


class _Head(Response):
    """The headers of a stream."""

    def __init__(self) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["Content-Length"]


class _Stream(_Head):
    """Sends the events of the subscriber until either side ends the stream. Then calls `leave`, also after an error."""

    def __init__(
        self, subscriber: Subscriber, client: Client, on_sent: Callable[[], None], leave: Callable[[], None]
    ) -> None:
        super().__init__()
        self._subscriber = subscriber
        self._client = client
        self._on_sent = on_sent
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        subscriber = self._subscriber
        gone = asyncio.create_task(self._client.disconnected())
        gone.add_done_callback(lambda _: subscriber.end())
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            while part := await subscriber.next():
                await send({"type": "http.response.body", "body": part, "more_body": True})
                self._on_sent()
                if time.time() >= subscriber.expires_s:
                    subscriber.end()
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            self._leave()
