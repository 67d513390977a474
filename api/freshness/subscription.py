"""The one connection on which Redis tells this process of every commit.

Each shard tells its own, and an answer reflects what all have reached. In a cluster every node passes messages on to
all others, so any node will do.
"""

import asyncio
from collections.abc import Callable

import msgspec
import structlog
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from projector.readmodel.client.errors import ReadModelError, ReadModelFault, Unavailable
from projector.readmodel.query.engine import Engine
from projector.readmodel.query.positions import Positions

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

    `tell` gets what all shards have reached with a commit and, once after each subscribing, all positions: those who
    wait since before miss nothing. `forget` is called when the connection is lost.
    """

    def __init__(
        self,
        engine: Engine,
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
        # What each shard has reached, by its channel, as it was read once a second and told in between.
        self._reached: dict[str, dict[str, int]] = {}
        self._opened = 0
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

    async def _run(self) -> None:
        """Between the last look at `needed` and the end nothing is awaited, or one who waits could be forgotten."""
        pause_s = PAUSE_FIRST_S
        while self._needed():
            try:
                connection, channels = await self._subscribe()
                pause_s = PAUSE_FIRST_S
                await self._listen(connection, channels)
            except (RedisError, OSError, ReadModelError) as error:
                if pause_s == PAUSE_FIRST_S:
                    _log.warning("no news of commits: subscribing again", reason=str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)

    async def _subscribe(self) -> tuple[AbstractConnection, tuple[str, ...]]:
        """First subscribed, then looked: what is stored in between is told twice, not never."""
        async with asyncio.timeout(self._connect_s):
            await self._engine.now()
            channels = self._engine.channels
            if not channels:
                raise Unavailable("no generation is live yet")
            # Each time to another node: the last one may be away.
            connection = self._engine.connection(self._opened)
            self._opened += 1
            self._reached = {}
            try:
                await connection.connect()  # type: ignore[no-untyped-call]
                await connection.send_command("SUBSCRIBE", *channels)
                for _ in channels:
                    await connection.read_response()
                await self._read(channels)
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
        return connection, channels

    async def _read(self, channels: tuple[str, ...]) -> None:
        instant = await self._engine.now()
        # If another generation is live by now, its channels have other names, and nobody listens to them yet.
        for channel, positions in zip(self._engine.channels, instant.shards, strict=False):
            if channel in channels:
                self._reach(channel, positions)
        self._tell(instant.positions)

    def _reach(self, channel: str, positions: Positions) -> None:
        """A commit may have been told while the positions before it were read: hence never back."""
        reached = self._reached.setdefault(channel, {})
        for name, offset in positions.items():
            reached[name] = max(offset, reached.get(name, 0))

    async def _listen(self, connection: AbstractConnection, channels: tuple[str, ...]) -> None:
        """Returns when nobody needs it any more, or another generation is live."""
        self._heard = True
        tasks = [asyncio.create_task(self._hear(connection)), asyncio.create_task(self._look(connection, channels))]
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
            kind, *source, payload = await connection.read_response()
            self._heard = True
            if kind == b"message":
                self._hear_commit(source[0].decode(), _positions(payload))

    def _hear_commit(self, channel: str, positions: Positions) -> None:
        """Of each partition that a shard tells of: what all have reached."""
        self._reach(channel, positions)
        shards = self._reached.values()
        self._tell({name: min(reached.get(name, 0) for reached in shards) for name in positions})

    async def _look(self, connection: AbstractConnection, channels: tuple[str, ...]) -> None:
        while self._engine.channels == channels and self._needed():
            if not self._heard:
                raise Unavailable("Redis did not answer on the subscription")
            self._heard = False
            await connection.send_command("PING")
            await asyncio.sleep(LOOK_EVERY_S)
            await self._read(channels)


def _positions(payload: bytes) -> Positions:
    try:
        return _message.decode(payload)
    except msgspec.DecodeError as error:
        raise ReadModelFault(f"a commit was told as {payload!r:.200}") from error
