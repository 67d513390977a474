"""HTTP on one connection, with limits for all that a client can delay.

uvicorn has one time-out, for idle connections, and any byte resets it. Here each connection has a due time as an
attribute, and `close_overdue` checks all connections once a second, so that a request needs no timer.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from api.errors import RETRY_AFTER_S
from api.http import limits
from api.http.body import has_body
from api.http.connections import Connections
from api.http.limits import Refusal

OnRefused = Callable[[Refusal], str]


class Wire(HttpToolsProtocol):
    """`on_refused` is called for each request that is refused here; it returns the request id for the answer."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        on_refused: OnRefused,
        connections: Connections,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._on_refused = on_refused
        self._connections = connections
        self._is_authenticated = False
        # The loop's time at which the connection is overdue; infinite while the server owes the next step.
        self.due_s = math.inf
        # Bytes received since the last complete head.
        self._head_bytes = 0
        self._message_open = False
        # Whether the body of the message is read.
        self._takes_body = False
        self._discards_input = False
        # Those of requests that are not answered yet, the oldest first.
        self._cycles: deque[RequestResponseCycle] = deque()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self.due_s = self.loop.time() + limits.RECEIVE_S
        refusal = self._connections.add(self, self.client[0] if self.client else "")
        if refusal is not None:
            self._refuse(refusal)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.remove(self)
        super().connection_lost(exc)
        # uvicorn does so for the last of pipelined requests alone.
        for cycle in self._cycles:
            cycle.disconnected = True
            cycle.message_event.set()

    def data_received(self, data: bytes) -> None:
        if self._discards_input:
            return
        if self.due_s == math.inf:
            self.due_s = self.loop.time() + limits.RECEIVE_S
        self._head_bytes += len(data)
        super().data_received(data)
        if self._message_open and not self._takes_body:
            self._discard_body()
        elif self._head_bytes > limits.HEAD_BYTES_MAX and not self._discards_input:
            is_url_too_long = len(getattr(self, "url", b"")) > limits.URL_BYTES_MAX
            self._refuse(limits.url_too_long(limits.URL_BYTES_MAX) if is_url_too_long else limits.HEADERS_TOO_LARGE)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= limits.PIPELINE_MAX:
            raise OverflowError  # Stops the parser; uvicorn then calls send_400_response.
        if len(self.url) > limits.URL_BYTES_MAX:
            self.scope[limits.URL_BYTES_KEY] = len(self.url)  # type: ignore[literal-required]
            self.url = self.url[: limits.URL_BYTES_MAX]
        if not self._is_authenticated:
            self.scope[limits.WIRE_KEY] = self  # type: ignore[literal-required]
        super().on_headers_complete()
        self._cycles.append(self.cycle)
        self._takes_body = has_body(self.scope["method"], self.scope["path"], self.headers)
        if self._takes_body:
            self.due_s = self.loop.time() + limits.RECEIVE_S
        else:
            self._await_server()
        self._head_bytes = 0
        self._message_open = True

    def on_body(self, body: bytes) -> None:
        """Ignores it, except for the one path that has one."""
        if self._takes_body:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._message_open = False
        if self._takes_body:
            self._takes_body = False
            self._await_server()
            self._head_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._cycles.popleft()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        self._message_open = False
        self._refuse(limits.BAD_REQUEST)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.due_s = self.loop.time() + limits.SEND_S

    def resume_writing(self) -> None:
        super().resume_writing()
        self.due_s = self.loop.time() + limits.LINGER_S if self._discards_input else math.inf

    def shutdown(self) -> None:
        super().shutdown()
        if self._discards_input and not self.is_answering:
            self.transport.abort()

    def linger(self) -> None:
        """Closes the sending direction, and discards input until LINGER_S have passed.

        Closing with unread bytes would reset the connection, and the client would lose the answer (RFC 9112, 9.6).
        """
        self._discards_input = True
        self.due_s = self.loop.time() + limits.LINGER_S
        if not self.transport.is_closing():
            self.flow.resume_reading()
            self.transport.write_eof()

    def close_overdue(self) -> None:
        if self._discards_input or self.flow.write_paused or self.transport.is_closing():
            self.transport.abort()
        elif self._head_bytes:
            self._refuse(limits.TOO_SLOW)
        else:
            self.transport.close()

    @property
    def is_spare(self) -> bool:
        return self._connections.is_spare(self)

    @property
    def is_answering(self) -> bool:
        return bool(self._cycles)

    def mark_authenticated(self) -> None:
        self._is_authenticated = True
        self._connections.mark_authenticated(self)

    def evict(self) -> None:
        self._on_refused(limits.EVICTED)
        self._discards_input = True
        self.transport.abort()

    def _refuse(self, refusal: Refusal) -> None:
        """Answers and closes. While an earlier request is being answered it only closes: the client would take the
        refusal for that answer.
        """
        request_id = self._on_refused(refusal)
        if self.is_answering:
            self._discards_input = True
            self._await_server()
            self.cycle.keep_alive = False
            return
        self.transport.write(_answer(refusal, request_id, self.server_state.default_headers))
        self.linger()

    def _await_server(self) -> None:
        """The next step is the server's, unless the client has to read first."""
        if not self.flow.write_paused:
            self.due_s = math.inf

    def _discard_body(self) -> None:
        """Discards the body of a request, and closes the connection after the answer."""
        self._message_open = False
        self._discards_input = True
        self._await_server()
        self.cycle.keep_alive = False
        self.cycle.transport = _Lingering(self)  # type: ignore[assignment]


class _Lingering:
    """The part of a transport that uvicorn's cycle uses, with a `close` that lingers."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.write = wire.transport.write
        self.is_closing = wire.transport.is_closing
        self.close = wire.linger


def close_overdue(connections: Iterable[object], now_s: float) -> None:
    """Closes overdue connections. To be called about every CHECK_S; `now_s` is the loop's time."""
    for connection in list(connections):
        assert isinstance(connection, Wire)
        if connection.due_s < now_s:
            connection.close_overdue()
        elif connection.due_s == math.inf and connection.transport.is_closing():
            # The client has not read the last answer yet.
            connection.due_s = now_s + limits.SEND_S


def _answer(refusal: Refusal, request_id: str, default_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    body = msgspec.json.encode({"type": refusal.kind, "message": refusal.message})
    headers: Mapping[bytes, bytes] = {
        **dict(default_headers),
        b"content-type": b"application/json",
        b"content-length": str(len(body)).encode(),
        **({b"retry-after": str(RETRY_AFTER_S).encode()} if refusal.status == 503 else {}),
        b"x-request-id": request_id.encode(),
        b"connection": b"close",
    }
    lines = (name + b": " + value + b"\r\n" for name, value in headers.items())
    return b"".join((STATUS_LINE[refusal.status], *lines, b"\r\n", body))
