"""The subscription on which Redis publishes every commit to this process.

Each shard has a channel; an answer reflects what all shards have reached. In a cluster, nodes forward messages to each
other, so a connection to any node suffices.
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

# Seconds between two checks of the connection, which also read the positions. They detect another live generation, a
# connection that is lost without a reset, and a Redis whose user may not publish.
CHECK_EVERY_S = 1.0
# The first and the longest pause before the next attempt to subscribe, in seconds.
PAUSE_FIRST_S = 0.02
PAUSE_MAX_S = 0.5

_log = structlog.get_logger("api")
# The script writes offsets as strings: Lua's numbers would lose digits.
_message = msgspec.json.Decoder(dict[str, int], strict=False)


class Subscription:
    """Subscribes to the live generation, and again after each loss of the connection, while `is_needed`.

    `report` is called with the positions that all shards have reached: of a commit those that it changed, after each
    subscribing all of them, so that requests that waited already miss nothing. `forget` is called when the connection
    is lost.
    """

    def __init__(
        self,
        engine: Engine,
        connect_s: float,
        report: Callable[[Positions], None],
        forget: Callable[[], None],
        is_needed: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._connect_s = connect_s
        self._report = report
        self._forget = forget
        self._is_needed = is_needed
        # Channel of a shard -> the positions that it has reached, as read once a second and published in between.
        self._reached: dict[str, dict[str, int]] = {}
        self._connections_opened = 0
        self._task: asyncio.Task[None] | None = None
        self._has_received = True

    def open(self) -> None:
        """Starts the subscription unless it runs, and returns immediately."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        """After the last check of `is_needed` nothing may be awaited, or a new waiting request would not be served."""
        pause_s = PAUSE_FIRST_S
        while self._is_needed():
            try:
                connection, channels = await self._subscribe()
                pause_s = PAUSE_FIRST_S
                await self._listen(connection, channels)
            except (RedisError, OSError, ReadModelError) as error:
                if pause_s == PAUSE_FIRST_S:
                    _log.warning("subscription lost: subscribing again", reason=str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)

    async def _subscribe(self) -> tuple[AbstractConnection, tuple[str, ...]]:
        """Subscribes first and reads then: a commit in between is reported twice rather than never."""
        async with asyncio.timeout(self._connect_s):
            await self._engine.snapshot()
            channels = self._engine.channels
            if not channels:
                raise Unavailable("no generation is live yet")
            # Another node at each attempt: the last one may be unreachable.
            connection = self._engine.connection(self._connections_opened)
            self._connections_opened += 1
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
        snapshot = await self._engine.snapshot()
        # If another generation became live, its channels have other names, and are not subscribed to yet.
        for channel, positions in zip(self._engine.channels, snapshot.shards, strict=False):
            if channel in channels:
                self._advance(channel, positions)
        self._report(snapshot.positions)

    def _advance(self, channel: str, positions: Positions) -> None:
        """Never moves back: a commit may be published while older positions are read."""
        reached = self._reached.setdefault(channel, {})
        for name, offset in positions.items():
            reached[name] = max(offset, reached.get(name, 0))

    async def _listen(self, connection: AbstractConnection, channels: tuple[str, ...]) -> None:
        """Returns when the subscription is not needed any longer, or another generation is live."""
        self._has_received = True
        tasks = [asyncio.create_task(self._receive(connection)), asyncio.create_task(self._check(connection, channels))]
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

    async def _receive(self, connection: AbstractConnection) -> None:
        while True:
            kind, *source, payload = await connection.read_response()
            self._has_received = True
            if kind == b"message":
                self._receive_commit(source[0].decode(), _positions(payload))

    def _receive_commit(self, channel: str, positions: Positions) -> None:
        """Reports, of each partition in the message, the position that all shards have reached."""
        self._advance(channel, positions)
        shards = self._reached.values()
        self._report({name: min(reached.get(name, 0) for reached in shards) for name in positions})

    async def _check(self, connection: AbstractConnection, channels: tuple[str, ...]) -> None:
        while self._engine.channels == channels and self._is_needed():
            if not self._has_received:
                raise Unavailable("Redis did not answer on the subscription")
            self._has_received = False
            await connection.send_command("PING")
            await asyncio.sleep(CHECK_EVERY_S)
            await self._read(channels)


def _positions(payload: bytes) -> Positions:
    try:
        return _message.decode(payload)
    except msgspec.DecodeError as error:
        raise ReadModelFault(f"expected positions in a published commit, found {payload!r:.200}") from error
