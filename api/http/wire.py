"""HTTP on one connection, with an end to everything that a client may draw out.

uvicorn knows one time-out, that of an idle connection, and any byte puts it off. Here each connection has a time
at which it is due, which is only an attribute: `look` goes over all of them once a second, so that a request
costs no timer.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from api.errors import RETRY_AFTER_S
from api.http import limits
from api.http.connections import Connections
from api.http.limits import Refusal

OnRefused = Callable[[Refusal], str]


class Wire(HttpToolsProtocol):
    """`on_refused` is told of each request that ends here, and gives it an id for the answer."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        on_refused: OnRefused,
        places: Connections,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._on_refused = on_refused
        self._places = places
        # A request with credentials came on it.
        self._is_known = False
        # The loop's time at which this has lasted too long; infinite while the next step is ours.
        self.due_s = math.inf
        # Bytes since the last complete head, or since the connection.
        self._head_bytes = 0
        self._message_open = False
        # What still comes is thrown away.
        self._deaf = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self.due_s = self.loop.time() + limits.RECEIVE_S
        refusal = self._places.enter(self, self.client[0] if self.client else "")
        if refusal is not None:
            self._refuse(refusal)

    def connection_lost(self, exc: Exception | None) -> None:
        self._places.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self.due_s == math.inf:
            self.due_s = self.loop.time() + limits.RECEIVE_S
        self._head_bytes += len(data)
        super().data_received(data)
        if self._message_open:
            self._leave_body()
        elif self._head_bytes > limits.HEAD_BYTES_MAX and not self._deaf:
            url_is_it = len(getattr(self, "url", b"")) > limits.URL_BYTES_MAX
            self._refuse(limits.url_too_long(limits.URL_BYTES_MAX) if url_is_it else limits.HEADERS_TOO_LARGE)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= limits.PIPELINE_MAX:
            raise OverflowError  # Stops the parser, which calls send_400_response.
        if len(self.url) > limits.URL_BYTES_MAX:
            self.scope[limits.URL_BYTES_KEY] = len(self.url)  # type: ignore[literal-required]
            self.url = self.url[: limits.URL_BYTES_MAX]
        if not self._is_known:
            self.scope[limits.WIRE_KEY] = self  # type: ignore[literal-required]
        super().on_headers_complete()
        self.due_s = math.inf
        self._head_bytes = 0
        self._message_open = True

    def on_body(self, body: bytes) -> None:
        """No route takes one."""

    def on_message_complete(self) -> None:
        self._message_open = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._message_open = False
        self._refuse(limits.BAD_REQUEST)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.due_s = self.loop.time() + limits.SEND_S

    def resume_writing(self) -> None:
        super().resume_writing()
        self.due_s = self.loop.time() + limits.LINGER_S if self._deaf else math.inf

    def shutdown(self) -> None:
        super().shutdown()
        if self._deaf and not self.is_answering:
            self.transport.abort()

    def linger(self) -> None:
        """Says goodbye and listens on for a while, deaf.

        Closed with bytes unread, the connection would be reset, and the client lose the answer (RFC 9112, 9.6).
        """
        self._deaf = True
        self.due_s = self.loop.time() + limits.LINGER_S
        if not self.transport.is_closing():
            self.flow.resume_reading()
            self.transport.write_eof()

    def overdue(self, now_s: float) -> None:
        if self._deaf or self.flow.write_paused or self.transport.is_closing():
            self.transport.abort()
        elif self._head_bytes:
            self._refuse(limits.TOO_SLOW)
        else:
            self.transport.close()

    @property
    def is_spare(self) -> bool:
        return self._places.is_spare(self)

    @property
    def is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def know(self) -> None:
        """A request with credentials came on it."""
        self._is_known = True
        self._places.know(self)

    def give_way(self) -> None:
        self._on_refused(limits.GAVE_WAY)
        self._deaf = True
        self.transport.abort()

    def _refuse(self, refusal: Refusal) -> None:
        """Where an earlier request waits for its answer, a refusal would be taken for that: only the close comes."""
        request_id = self._on_refused(refusal)
        if self.is_answering:
            self._deaf = True
            self.due_s = math.inf
            self.cycle.keep_alive = False
            return
        self.transport.write(_answer(refusal, request_id, self.server_state.default_headers))
        self.linger()

    def _leave_body(self) -> None:
        """The head is complete and a body is to come, which nobody will read."""
        self._message_open = False
        self._deaf = True
        self.due_s = math.inf
        self.cycle.keep_alive = False
        self.cycle.transport = _Lingering(self)  # type: ignore[assignment]


class _Lingering:
    """A transport, as far as uvicorn's cycle knows it, whose `close` lingers."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.write = wire.transport.write
        self.is_closing = wire.transport.is_closing
        self.close = wire.linger


def look(connections: Iterable[object], now_s: float) -> None:
    """Ends what is overdue. To be called about every LOOK_S; `now_s` is the loop's time."""
    for connection in list(connections):
        assert isinstance(connection, Wire)
        if connection.due_s < now_s:
            connection.overdue(now_s)
        elif connection.due_s == math.inf and connection.transport.is_closing():
            # Its last answer is not read yet.
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
