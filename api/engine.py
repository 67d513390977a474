"""Asks Redis. One round trip per request: which generation is live, and the answer of the one we believe in."""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import msgspec
from msgspec import Struct
from redis.exceptions import NoScriptError, ResponseError

from api.batches import Batches, Command
from api.errors import ReadModelFault, Unavailable
from api.plan import Nothing, Scan, Select, plan, scan_call, select_call
from api.positions import NOTHING_LIVE, Instant, Positions, instant, lag, offsets
from api.query import Query
from api.scripts import ONE, SCAN, SELECT, Script
from projector.readmodel.keys import LIVE, Generation, Keys

# Round trips of one request: the pointer may move, and a script may have to be loaded, while we ask.
ATTEMPTS_MAX = 4
# Redis is at work on something slow of somebody else's.
_BUSY = "BUSY"

_generation = msgspec.json.Decoder(Generation)


class Answer(Struct, frozen=True):
    """`rows`: JSON objects joined by commas, the default fields or whole documents, as the query asks."""

    count: int
    rows: bytes
    instant: Instant

    @property
    def positions(self) -> Positions:
        return self.instant.positions


class Found(Struct, frozen=True):
    """`document`: whole, as it is stored; None if there is no such group."""

    document: bytes | None
    instant: Instant

    @property
    def positions(self) -> Positions:
        return self.instant.positions


class _Live(NamedTuple):
    raw: bytes
    keys: Keys


class _Seen(NamedTuple):
    live: _Live
    value: object


class Engine:
    """Raises Unavailable when Redis does not answer in time, ReadModelFault when it contradicts itself."""

    def __init__(self, redis_url: str, wait_ms: int, connections_max: int, ready_lag_max: int) -> None:
        self._wait_s = wait_ms / 1000
        self._ready_lag_max = ready_lag_max
        self._batches = Batches(redis_url, self._wait_s, connections_max)
        self._live: _Live | None = None
        # Between two commits every answer reflects the same.
        self._last_positions: object = None
        self._last_instant = NOTHING_LIVE

    @property
    def channel(self) -> str | None:
        """Where commits to the generation that we believe in are told; None as long as there is none."""
        return None if self._live is None else self._live.keys.stored

    async def close(self) -> None:
        await self._batches.close()

    async def ready(self) -> bool:
        """Whether Redis answers, something is live, and it lags behind the log's own end by no more than it may.

        The projector tells that end every second. One that is away tells nothing, and what it left is served on.
        """
        try:
            seen = await self._read(lambda keys: ("HGETALL", keys.end), None)
            if seen is None:
                return False
            end = offsets(cast(list[bytes], seen.value))
            return lag(end, (await self.now()).positions) <= self._ready_lag_max
        except Unavailable:
            return False

    async def list(self, query: Query) -> Answer:
        chosen = plan(query)
        if isinstance(chosen, Nothing):
            return Answer(0, b"", await self.now())
        script = SCAN if isinstance(chosen, Scan) else SELECT
        seen = await self._read(lambda keys: _call(script, chosen, query, keys), script)
        if seen is None:
            return Answer(0, b"", NOTHING_LIVE)
        count, rows, positions = cast(tuple[int, bytes, list[bytes]], seen.value)
        return Answer(count, rows, self._instant(seen.live, positions))

    async def one(self, group_id: str) -> Found:
        document, instant = await self._one("read", group_id)
        return Found(cast(bytes | None, document), instant)

    async def holds(self, group_id: str) -> bool:
        """Whether there is such a group, without reading it."""
        return (await self._one("look", group_id))[0] == 1

    async def now(self) -> Instant:
        """What an answer would reflect."""
        seen = await self._read(lambda keys: ("HGETALL", keys.position), None)
        return NOTHING_LIVE if seen is None else self._instant(seen.live, cast(list[bytes], seen.value))

    async def _one(self, command: str, group_id: str) -> tuple[object, Instant]:
        seen = await self._read(
            lambda keys: ("EVALSHA", ONE.digest, "3", keys.row, keys.rest, keys.position, command, group_id), ONE
        )
        if seen is None:
            return None, NOTHING_LIVE
        value, positions = cast(tuple[object, list[bytes]], seen.value)
        return value, self._instant(seen.live, positions)

    def _instant(self, live: _Live, positions: Sequence[bytes]) -> Instant:
        if positions != self._last_positions or live.raw != self._last_instant.generation:
            try:
                self._last_instant = instant(live.raw, positions)
            except ValueError as error:
                raise ReadModelFault(f"{live.keys.position}: expected offsets, found {positions!r:.200}") from error
            self._last_positions = positions
        return self._last_instant

    async def _read(self, command: Callable[[Keys], Command], script: Script | None) -> _Seen | None:
        """The reply of the live generation; None if there is no generation yet."""
        try:
            async with asyncio.timeout(self._wait_s):
                for _ in range(ATTEMPTS_MAX):
                    live = self._live
                    reply = await self._batches.ask(command(live.keys) if live is not None else ("PING",))
                    pointer = _checked(reply.pointer)
                    if live is None or pointer != live.raw:
                        self._live = _adopt(cast(bytes | None, pointer))
                        if self._live is None:
                            return None
                    elif isinstance(reply.value, NoScriptError) and script is not None:
                        await self._batches.ask(("SCRIPT", "LOAD", script.text))
                    else:
                        return _Seen(live, _checked(reply.value))
        except TimeoutError as error:
            raise Unavailable(f"Redis gave no answer within {self._wait_s} s") from error
        raise Unavailable(f"{LIVE} changed or the scripts vanished {ATTEMPTS_MAX} times during one request")


def _call(script: Script, chosen: Scan | Select, query: Query, keys: Keys) -> Command:
    names, arguments = scan_call(chosen, query, keys) if isinstance(chosen, Scan) else select_call(query, keys)
    names.append(keys.position)
    return ("EVALSHA", script.digest, str(len(names)), *names, *arguments)


def _adopt(raw: bytes | None) -> _Live | None:
    if raw is None:
        return None
    try:
        generation = _generation.decode(raw)
    except msgspec.DecodeError as error:
        raise ReadModelFault(f"{LIVE}: expected a generation, found {raw!r}") from error
    if generation.shards != 1:
        raise Unavailable(f"{LIVE}: generation {generation.number} has {generation.shards} shards, this API reads one")
    return _Live(raw, generation.keys(0))


def _checked(reply: object) -> object:
    """Raises for an error reply: ReadModelFault where the fault is ours, else Unavailable."""
    if isinstance(reply, ResponseError):
        if type(reply) is ResponseError and not str(reply).startswith(_BUSY):
            raise ReadModelFault(str(reply)) from reply
        raise Unavailable(f"Redis: {reply!r}") from reply
    return reply
