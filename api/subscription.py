"""The one connection on which Redis tells this process of every commit."""

import asyncio
from collections.abc import Callable

import msgspec
import structlog
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from api.engine import Engine
from api.errors import ApiError, ReadModelFault, Unavailable
from api.positions import Positions

# How often, while it stands, the connection is tried and the positions are read for all who wait, in seconds. It finds
# another generation, a connection that died in silence, and news that Redis would not publish.
LOOK_EVERY_S = 1.0
# The first and the longest pause before it is opened again, in seconds.
PAUSE_FIRST_S = 0.02
PAUSE_MAX_S = 0.5

_log = structlog.get_logger("api")
# Lua writes offsets as texts: a number would lose digits.
_message = msgspec.json.Decoder(dict[str, int], strict=False)


class Subscription:
    """Opened by `open`, and again whenever it is lost, until `needed` says no. It follows the live generation.

    `tell` gets what each commit has reached and, once after each subscribing, all positions: those who wait since
    before miss nothing. `forget` is called when the connection is lost.
    """

    def __init__(
        self,
        engine: Engine,
        redis_url: str,
        connect_s: float,
        tell: Callable[[Positions], None],
        forget: Callable[[], None],
        needed: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._connect_s = connect_s
        self._tell = tell
        self._forget = forget
        self._needed = needed
        self._pool: ConnectionPool = ConnectionPool.from_url(
            redis_url,
            socket_connect_timeout=connect_s,
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._task: asyncio.Task[None] | None = None
        self._heard = True

    def open(self) -> None:
        """Returns at once."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._pool.aclose()

    async def _run(self) -> None:
        """Between the last look at `needed` and the end nothing is awaited, or one who waits could be forgotten."""
        pause_s = PAUSE_FIRST_S
        while self._needed():
            try:
                connection, channel = await self._subscribe()
                pause_s = PAUSE_FIRST_S
                await self._listen(connection, channel)
            except (RedisError, OSError, ApiError) as error:
                if pause_s == PAUSE_FIRST_S:
                    _log.warning("no news of commits: subscribing again", reason=str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)

    async def _subscribe(self) -> tuple[AbstractConnection, str]:
        """First subscribed, then looked: what is stored in between is told twice, not never."""
        async with asyncio.timeout(self._connect_s):
            await self._engine.now()
            channel = self._engine.channel
            if channel is None:
                raise Unavailable("no generation is live yet")
            connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
            try:
                await connection.connect()  # type: ignore[no-untyped-call]
                await connection.send_command("SUBSCRIBE", channel)
                await connection.read_response()
                self._tell((await self._engine.now()).positions)
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
        return connection, channel

    async def _listen(self, connection: AbstractConnection, channel: str) -> None:
        """Returns when nobody needs it any more, or another generation is live."""
        self._heard = True
        tasks = [asyncio.create_task(self._hear(connection)), asyncio.create_task(self._look(connection, channel))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await connection.disconnect(nowait=True)
            self._forget()

    async def _hear(self, connection: AbstractConnection) -> None:
        while True:
            kind, *_, payload = await connection.read_response()
            self._heard = True
            if kind == b"message":
                self._tell(_positions(payload))

    async def _look(self, connection: AbstractConnection, channel: str) -> None:
        while self._engine.channel == channel and self._needed():
            if not self._heard:
                raise Unavailable("Redis did not answer on the subscription")
            self._heard = False
            await connection.send_command("PING")
            await asyncio.sleep(LOOK_EVERY_S)
            self._tell((await self._engine.now()).positions)


def _positions(payload: bytes) -> Positions:
    try:
        return _message.decode(payload)
    except msgspec.DecodeError as error:
        raise ReadModelFault(f"a commit was told as {payload!r:.200}") from error
