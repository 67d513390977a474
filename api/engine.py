"""Asks Redis. One round trip per request: which generation is live, and the answer of the one we believe in."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, cast

import msgspec
from msgspec import Struct
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from api.errors import ReadModelFault, Unavailable
from api.plan import Nothing, Scan, Select, plan, scan_call, select_call
from api.query import Query
from api.scripts import SCAN, SELECT, Script
from projector.readmodel.keys import LIVE, Generation, Keys

# Round trips of one request: the pointer may move, and a script may have to be loaded, while we ask.
ATTEMPTS_MAX = 4
# Redis is at work on something slow of somebody else's.
_BUSY = "BUSY"

Command = tuple[str | bytes, ...]

_generation = msgspec.json.Decoder(Generation)


class Answer(Struct, frozen=True):
    """`rows`: JSON objects joined by commas, the default fields or whole documents, as the query asks."""

    count: int
    rows: bytes


class _Live(NamedTuple):
    raw: bytes
    keys: Keys


class Engine:
    """Raises Unavailable when Redis does not answer in time, ReadModelFault when it contradicts itself."""

    def __init__(self, redis_url: str, wait_ms: int, connections_max: int) -> None:
        wait_s = wait_ms / 1000
        pool = BlockingConnectionPool.from_url(
            redis_url,
            max_connections=connections_max,
            timeout=wait_s,
            socket_timeout=wait_s,
            socket_connect_timeout=wait_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._redis = Redis(connection_pool=pool)
        self._pool = pool
        self._wait_s = wait_s
        self._live: _Live | None = None

    async def close(self) -> None:
        await self._redis.aclose()
        await self._pool.aclose()

    async def ready(self) -> bool:
        """Whether Redis answers and something is live."""
        try:
            return await self._read(lambda keys: ("EXISTS", keys.doc), None) is not None
        except Unavailable:
            return False

    async def list(self, query: Query) -> Answer:
        chosen = plan(query)
        if isinstance(chosen, Nothing):
            return Answer(0, b"")
        script = SCAN if isinstance(chosen, Scan) else SELECT
        reply = await self._read(lambda keys: _call(script, chosen, query, keys), script)
        return Answer(0, b"") if reply is None else Answer(*cast(tuple[int, bytes], reply))

    async def one(self, group_id: str) -> bytes | None:
        """The whole document."""
        return cast(bytes | None, await self._read(lambda keys: ("HGET", keys.doc, group_id), None))

    async def _read(self, command: Callable[[Keys], Command], script: Script | None) -> object:
        """The reply of the live generation; None if there is no generation yet."""
        try:
            async with asyncio.timeout(self._wait_s):
                for _ in range(ATTEMPTS_MAX):
                    live = self._live
                    reply, raw = await self._ask(live and command(live.keys))
                    if live is None or raw != live.raw:
                        self._live = _adopt(raw)
                        if raw is None:
                            return None
                    elif isinstance(reply, NoScriptError) and script is not None:
                        await self._load(script)
                    else:
                        return _checked(reply)
        except (RedisError, OSError) as error:
            raise Unavailable(f"Redis: {error!r}") from error
        raise Unavailable(f"{LIVE} changed or the scripts vanished {ATTEMPTS_MAX} times during one request")

    async def _ask(self, command: Command | None) -> tuple[object, bytes | None]:
        """The pointer is read behind the command: if it is still ours then, the generation was not dropped before."""
        pipeline = self._redis.pipeline(transaction=False)
        if command is not None:
            pipeline.execute_command(*command)
        pipeline.execute_command("GET", LIVE)
        *reply, raw = await pipeline.execute(raise_on_error=False)
        return reply[0] if reply else None, cast(bytes | None, _checked(raw))

    async def _load(self, script: Script) -> None:
        await self._redis.script_load(script.text)


def _call(script: Script, chosen: Scan | Select, query: Query, keys: Keys) -> Command:
    names, arguments = scan_call(chosen, query, keys) if isinstance(chosen, Scan) else select_call(query, keys)
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
    """Raises what an error reply stands for: ReadModelFault where it is ours, else a RedisError."""
    if isinstance(reply, Exception):
        if type(reply) is ResponseError and not str(reply).startswith(_BUSY):
            raise ReadModelFault(str(reply)) from reply
        raise reply
    return reply
