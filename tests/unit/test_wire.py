"""Time limits that would take half a minute on a real socket, as of a client that does not read."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from api.http import limits
from api.http.connections import Connections
from api.http.wire import Wire, close_overdue

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Transport(asyncio.Transport):
    """Records what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closing = self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def write_eof(self) -> None:
        pass

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def app(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
    await send({"type": "http.response.body", "body": b"x"})


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def wire(loop: asyncio.AbstractEventLoop) -> Wire:
    return wire_of(app, loop)


def wire_of(app: Any, loop: asyncio.AbstractEventLoop) -> Wire:
    config = Config(app, ws="none", log_config=None, lifespan="off", proxy_headers=False)
    config.load()
    wire = Wire(config, ServerState(), {}, loop, on_refused=lambda refusal: refusal.reason, connections=Connections(9))
    wire.connection_made(Transport())
    return wire


def transport(wire: Wire) -> Transport:
    assert isinstance(wire.transport, Transport)
    return wire.transport


def serve(wire: Wire, data: bytes) -> None:
    wire.data_received(data)
    wire.loop.run_until_complete(asyncio.sleep(0))


def test_a_connection_is_due_while_a_request_is_incomplete(wire: Wire) -> None:
    now_s = wire.loop.time()
    assert now_s < wire.due_s <= now_s + limits.RECEIVE_S
    serve(wire, REQUEST)
    assert wire.due_s == math.inf
    assert transport(wire).written.endswith(b"x")
    serve(wire, REQUEST[:5])
    due_s = wire.due_s
    assert due_s < math.inf
    serve(wire, REQUEST[5:9])
    assert wire.due_s == due_s, "another byte does not postpone it"
    close_overdue([wire], due_s - 1)
    assert b" 408 " not in transport(wire).written
    close_overdue([wire], due_s + 1)
    assert b" 408 " in transport(wire).written


def test_a_client_that_does_not_read_is_disconnected(wire: Wire) -> None:
    serve(wire, REQUEST)
    wire.pause_writing()
    close_overdue([wire], wire.loop.time() + limits.SEND_S - 1)
    assert not transport(wire).aborted
    close_overdue([wire], wire.loop.time() + limits.SEND_S + 1)
    assert transport(wire).aborted


@pytest.mark.parametrize(
    "more",
    [REQUEST, b"\x00", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"],
    ids=["request", "bytes", "body"],
)
def test_a_client_that_does_not_read_cannot_postpone_it_by_sending(
    loop: asyncio.AbstractEventLoop, more: bytes
) -> None:
    async def until_gone(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    wire = wire_of(until_gone, loop)
    serve(wire, REQUEST)
    wire.pause_writing()
    serve(wire, more)
    close_overdue([wire], loop.time() + limits.SEND_S + 1)
    was_aborted = transport(wire).aborted
    wire.connection_lost(None)
    for _ in range(3):
        loop.run_until_complete(asyncio.sleep(0))
    assert was_aborted


def test_a_client_that_reads_late_is_not_disconnected(wire: Wire) -> None:
    serve(wire, REQUEST)
    wire.pause_writing()
    wire.resume_writing()
    close_overdue([wire], wire.loop.time() + limits.SEND_S + 1)
    assert not transport(wire).closing


def test_a_last_answer_that_is_not_read_does_not_hold_the_connection(wire: Wire) -> None:
    serve(wire, REQUEST[:-2] + b"Connection: close\r\n\r\n")
    assert transport(wire).closing
    now_s = wire.loop.time()
    close_overdue([wire], now_s)
    assert not transport(wire).aborted
    close_overdue([wire], now_s + limits.SEND_S + 1)
    assert transport(wire).aborted


def test_a_refused_client_that_stays_is_disconnected(wire: Wire) -> None:
    serve(wire, b"\x00")
    assert b" 400 " in transport(wire).written
    serve(wire, b"x" * 1000)
    close_overdue([wire], wire.loop.time() + limits.LINGER_S + 1)
    assert transport(wire).aborted


def test_all_requests_of_a_lost_connection_end(loop: asyncio.AbstractEventLoop) -> None:
    """uvicorn reports the loss to the last request alone, and lets the one in progress write to a closed socket."""
    ended: list[str] = []

    async def stream(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["type"] != "http.disconnect":
            pass
        written = transport(lost).written
        await send({"type": "http.response.body", "body": b"late"})
        assert transport(lost).written == written
        ended.append(scope["path"])

    lost = wire_of(stream, loop)
    serve(lost, b"GET /first HTTP/1.1\r\nHost: x\r\n\r\nGET /second HTTP/1.1\r\nHost: x\r\n\r\n")
    assert lost.is_answering
    lost.connection_lost(None)
    for _ in range(3):
        loop.run_until_complete(asyncio.sleep(0))
    assert ended == ["/first"]
