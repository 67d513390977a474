"""Sends an export as it is read, no faster than the client reads it.

What is cut short ends without the last chunk of HTTP, so that each client notices: Redis is gone, the generation was
deleted, a fault. A client that reads nothing for long is closed by the connection: see api/http/wire.py.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing

import structlog
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api import errors
from api.export.files import File
from api.freshness.positions import HEADER
from api.middleware.metrics import ExportEnd, Metrics
from api.middleware.observe import exchange_of
from api.params.export import Export
from api.requests import Client
from api.splice import documents
from projector.readmodel.client.errors import ReadModelError, Unavailable
from projector.readmodel.query.export.reading import Some
from projector.readmodel.query.export.selection import Selection

COUNT_HEADER = "X-Export-Count"
# Bytes that are sent at a time: a client that reads slowly has SEND_S for each, see api/http/limits.py.
SENT_BYTES = 64 * 1024

# Groups that become a part of the file in one go, in a millisecond or two.
GROUPS_AT_ONCE = 32

Select = Callable[[], Awaitable[Selection]]
Read = Callable[[Selection], AsyncGenerator[Some]]

_log = structlog.get_logger("api")


class Running:
    """The number of exports that are being sent, at most `maximum`."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self.number = 0

    @property
    def is_full(self) -> bool:
        return self.number >= self._maximum

    def __enter__(self) -> None:
        self.number += 1

    def __exit__(self, *_: object) -> None:
        self.number -= 1


class ExportResponse(StreamingResponse):
    """`select` chooses the groups, before the answer begins; `read` reads them."""

    def __init__(
        self,
        request: Request,
        export: Export,
        file: File,
        select: Select,
        read: Read,
        running: Running,
        metrics: Metrics,
    ) -> None:
        name = f"order-groups.{export.form}"
        super().__init__(
            iter(()),
            media_type=file.media_type,
            headers={
                "Content-Disposition": f'attachment; filename="{name}"',
                "Cache-Control": "private, no-store",
                "Vary": "Authorization",
            },
        )
        self._request, self._export, self._file = request, export, file
        self._select, self._read = select, read
        self._running, self._metrics = running, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._running.is_full:
            exchange_of(scope).refused = "exports"
            await errors.busy()(scope, receive, send)
            return
        with self._running:
            await self._answer(scope, send)

    async def _answer(self, scope: Scope, send: Send) -> None:
        selection = await self._select()
        exchange_of(scope).plan = "export"
        self.headers[COUNT_HEADER] = str(selection.count)
        self.headers[HEADER] = selection.snapshot.text
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        end = ExportEnd.CUT
        gone = asyncio.ensure_future(Client(self._request).disconnected())
        try:
            end = await self._send(selection, gone, send)
        except ReadModelError as error:
            # The answer has begun: to end it without its last chunk is all that is left.
            if isinstance(error, Unavailable):
                self._metrics.unavailable(error.refusal)
            exchange_of(scope).refused = "export_cut"
            request_id = exchange_of(scope).request_id.decode("ascii")
            _log.error("export cut", reason=str(error), rows=self._file.rows, request_id=request_id)
        finally:
            gone.cancel()
            exchange_of(scope).rows = self._file.rows
            self._metrics.exported(end, self._file.rows)

    async def _send(self, selection: Selection, gone: "asyncio.Future[None]", send: Send) -> ExportEnd:
        """Raises ReadModelError."""
        async with aclosing(self._parts(selection)) as parts:
            async for part in parts:
                for sent in _cut(part):
                    if gone.done():
                        return ExportEnd.GONE
                    await send({"type": "http.response.body", "body": sent, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return ExportEnd.COMPLETE

    async def _parts(self, selection: Selection) -> AsyncGenerator[bytes]:
        file, query, vanished = self._file, self._export.query, 0
        yield file.head()
        async with aclosing(self._read(selection)) as reading:
            async for some in reading:
                vanished += some.vanished
                for start in range(0, len(some.rows), GROUPS_AT_ONCE):
                    end = start + GROUPS_AT_ONCE
                    yield file.part(await documents(query, some.rows[start:end], some.records[start:end]))
                    # Other requests get a turn.
                    await asyncio.sleep(0)
        yield file.end(vanished)


def _cut(part: bytes) -> Iterator[bytes]:
    for start in range(0, len(part), SENT_BYTES):
        yield part[start : start + SENT_BYTES]
