"""The way to Redis. Requests that come while a connection is busy travel together on its next turn.

Redis serves one command at a time, so a request loses little by waiting for its mates; but the cost of a turn
in this process, which is more than that of the commands themselves, is paid once for all of them. Those who ask the
same are asked for once: all of them had come when it was sent, and nothing here changes what is read.
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

# Commands of one turn: the last reply lets the first one go, and a script may take some milliseconds.
TURN_COMMANDS_MAX = 16

Command = tuple[str | bytes, ...]
# For a shard of which nothing is asked.
NOTHING: Command = ("PING",)


class Block(NamedTuple):
    """One after the other on one connection, with others' commands in between. The value of its reply has one for each,
    or is the first error.
    """

    commands: tuple[Command, ...]


def _packed(command: Command) -> bytes:
    packed: bytes = pack_command(command)  # type: ignore[arg-type]  # hiredis' stub says a tuple of one
    return packed


_POINTER = _packed(("GET", LIVE))


class Reply(NamedTuple):
    """`value` may be a ResponseError; others have got the same, so that nobody may change it. `pointer` is what
    `og:live` held after the command, where that is asked: if that is what it held before, the generation was live all
    the time.
    """

    value: object
    pointer: object


class _Asked(NamedTuple):
    packed: bytes
    # None: of a command that is no block.
    replies: int | None


_Waiting = tuple[_Asked, "asyncio.Future[Reply]"]
# Who asked for what.
_Turn = dict[_Asked, list["asyncio.Future[Reply]"]]


class Batches:
    """At most `connections_max` connections, and one turn at a time on each. `wait_s` bounds a turn.

    `target`: where the server is and how to get in; see pools.py. `points`: it has `og:live`.
    """

    def __init__(self, target: Mapping[str, Any], wait_s: float, connections_max: int, *, points: bool) -> None:
        self._pool = pool(target, wait_s, connections_max)
        self._points = points
        self._wait_s = wait_s
        self._connections_max = connections_max
        self._waiting: deque[_Waiting] = deque()
        self._deadlines = Deadlines()
        self._workers: set[asyncio.Task[None]] = set()
        self._busy = 0

    def ask(self, command: Command | Block) -> "asyncio.Future[Reply]":
        """May raise Unavailable. May be cancelled at any time: the command may run nevertheless."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        if isinstance(command, Block):
            asked = _Asked(b"".join(map(_packed, command.commands)), len(command.commands))
        else:
            asked = _Asked(_packed(command), None)
        self._waiting.append((asked, future))
        if self._busy < self._connections_max:
            self._busy += 1
            worker = asyncio.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        return future

    def connection(self) -> AbstractConnection:
        """Another one, for whoever needs it for himself: not connected yet."""
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        return connection

    async def close(self) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        _refuse([future for _, future in self._waiting], ConnectionError("closed"))
        await close(self._pool)

    async def _work(self) -> None:
        """Nothing may be awaited between the last look at the queue and `_busy`, or a request could be forgotten."""
        loop = asyncio.get_running_loop()
        try:
            while turn := self._next_turn():
                try:
                    with self._deadlines.until(loop.time() + self._wait_s):
                        await self._take(turn)
                except (RedisError, OSError) as error:
                    _refuse(chain.from_iterable(turn.values()), error)
                except asyncio.CancelledError as error:
                    _refuse(chain.from_iterable(turn.values()), error)
                    raise
        finally:
            self._busy -= 1

    def _next_turn(self) -> _Turn:
        """Those who gave up meanwhile are left out."""
        turn: _Turn = {}
        commands = 0
        while self._waiting and commands < TURN_COMMANDS_MAX:
            asked, future = self._waiting.popleft()
            if future.done():
                continue
            if asked in turn:
                turn[asked].append(future)
            else:
                turn[asked] = [future]
                commands += asked.replies or 1
        return turn

    async def _take(self, turn: _Turn) -> None:
        connection: AbstractConnection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            # A connection that fails or is cancelled half-way closes itself: no reply can reach the wrong request.
            packed = [asked.packed for asked in turn]
            if self._points:
                packed.append(_POINTER)
            await connection.send_packed_command(packed)
            values = [
                await _reply(connection) if asked.replies is None else await _replies(connection, asked.replies)
                for asked in turn
            ]
            pointer = await _reply(connection) if self._points else None
        finally:
            await self._pool.release(connection)
        for futures, value in zip(turn.values(), values, strict=True):
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
