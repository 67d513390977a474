"""Pipelines commands to one server. Commands that arrive while all connections are busy share the next round trip.

A round trip costs this process more than its commands, and Redis runs one command at a time, so commands lose little by
waiting for each other. Equal commands are sent once: all were requested before it is sent, and they only read.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, NamedTuple

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from projector.readmodel.client.deadlines import Deadlines
from projector.readmodel.client.errors import Unavailable
from projector.readmodel.client.pools import close, pool
from projector.readmodel.schema.keys import LIVE

# Commands of one round trip: the first reply waits for the last one, and a script may take some milliseconds.
BATCH_COMMANDS_MAX = 16

Command = tuple[str | bytes, ...]
# For a shard from which nothing is needed.
NOTHING: Command = ("PING",)


class Block(NamedTuple):
    """Commands that are sent in order on one connection; other requests' commands may come in between.

    The value of its reply is a list with the value of each, or the first error.
    """

    commands: tuple[Command, ...]


def _packed(command: Command) -> bytes:
    packed: bytes = pack_command(command)  # type: ignore[arg-type]  # hiredis' stub says a tuple of one
    return packed


_POINTER = _packed(("GET", LIVE))


class Reply(NamedTuple):
    """`value` may be a ResponseError. It is shared by equal commands and must not be modified.

    `pointer`: the value of `og:live` after the command, None if `has_pointer` is false. If it is the same as before the
    command, the generation was live throughout.
    """

    value: object
    pointer: object


class _Request(NamedTuple):
    packed: bytes
    # The number of commands of a block, else None.
    replies: int | None


_Waiting = tuple[_Request, "asyncio.Future[Reply]"]
# The commands of one round trip, and the requests that wait for each.
_RoundTrip = dict[_Request, list["asyncio.Future[Reply]"]]


class Batches:
    """At most `connections_max` connections, with one round trip of at most `wait_s` at a time on each.

    `target`: address and credentials of the server; see pools.py. `has_pointer`: `og:live` is on this server.
    """

    def __init__(self, target: Mapping[str, Any], wait_s: float, connections_max: int, *, has_pointer: bool) -> None:
        self._pool = pool(target, wait_s, connections_max)
        self._has_pointer = has_pointer
        self._wait_s = wait_s
        self._connections_max = connections_max
        self._waiting: deque[_Waiting] = deque()
        self._deadlines = Deadlines()
        self._workers: set[asyncio.Task[None]] = set()
        self._busy = 0

    def send(self, command: Command | Block) -> "asyncio.Future[Reply]":
        """The future may raise Unavailable. It may be cancelled at any time; the command may run nevertheless."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        if isinstance(command, Block):
            request = _Request(b"".join(map(_packed, command.commands)), len(command.commands))
        else:
            request = _Request(_packed(command), None)
        self._waiting.append((request, future))
        if self._busy < self._connections_max:
            self._busy += 1
            worker = asyncio.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        return future

    def connection(self) -> AbstractConnection:
        """Returns a new connection outside of the pool, not connected yet."""
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        return connection

    async def close(self) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        _refuse([future for _, future in self._waiting], ConnectionError("closed"))
        await close(self._pool)

    async def _work(self) -> None:
        """After the last check of the queue nothing may be awaited, or a new request would not be served."""
        loop = asyncio.get_running_loop()
        try:
            while batch := self._next_batch():
                try:
                    with self._deadlines.until(loop.time() + self._wait_s):
                        await self._run(batch)
                except (RedisError, OSError) as error:
                    _refuse(chain.from_iterable(batch.values()), error)
                except asyncio.CancelledError as error:
                    _refuse(chain.from_iterable(batch.values()), error)
                    raise
        finally:
            self._busy -= 1

    def _next_batch(self) -> _RoundTrip:
        """Returns the next commands, without those of cancelled requests."""
        batch: _RoundTrip = {}
        commands = 0
        while self._waiting and commands < BATCH_COMMANDS_MAX:
            request, future = self._waiting.popleft()
            if future.done():
                continue
            if request in batch:
                batch[request].append(future)
            else:
                batch[request] = [future]
                commands += request.replies or 1
        return batch

    async def _run(self, batch: _RoundTrip) -> None:
        connection: AbstractConnection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            # A connection that fails, or is cancelled, closes itself: no reply can reach the wrong request.
            packed = [request.packed for request in batch]
            if self._has_pointer:
                packed.append(_POINTER)
            await connection.send_packed_command(packed)
            values = [
                await _reply(connection) if request.replies is None else await _replies(connection, request.replies)
                for request in batch
            ]
            pointer = await _reply(connection) if self._has_pointer else None
        finally:
            await self._pool.release(connection)
        for futures, value in zip(batch.values(), values, strict=True):
            reply = Reply(value, pointer)
            for future in futures:
                if not future.done():
                    future.set_result(reply)


def _refuse(futures: Iterable["asyncio.Future[Reply]"], error: BaseException) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(Unavailable.of(error))


async def _reply(connection: AbstractConnection) -> object:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


async def _replies(connection: AbstractConnection, number: int) -> object:
    values = [await _reply(connection) for _ in range(number)]
    return next((value for value in values if isinstance(value, ResponseError)), values)
