"""Asks Redis. One round trip per request: which generation is live, and the answer of the one we believe in."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, cast

import msgspec
from msgspec import Struct
from redis.exceptions import NoScriptError, ResponseError

from api.batches import Batches, Command
from api.errors import ReadModelFault, Unavailable
from api.plan import Nothing, Scan, Select, plan, scan_call, select_call
from api.query import Query
from api.scripts import SCAN, SELECT, Script
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


class _Live(NamedTuple):
    raw: bytes
    keys: Keys


class Engine:
    """Raises Unavailable when Redis does not answer in time, ReadModelFault when it contradicts itself."""

    def __init__(self, redis_url: str, wait_ms: int, connections_max: int) -> None:
        self._wait_s = wait_ms / 1000
        self._batches = Batches(redis_url, self._wait_s, connections_max)
        self._live: _Live | None = None

    async def close(self) -> None:
        await self._batches.close()

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
                    reply = await self._batches.ask(command(live.keys) if live is not None else ("PING",))
                    pointer = _checked(reply.pointer)
                    if live is None or pointer != live.raw:
                        self._live = _adopt(cast(bytes | None, pointer))
                        if self._live is None:
                            return None
                    elif isinstance(reply.value, NoScriptError) and script is not None:
                        await self._batches.ask(("SCRIPT", "LOAD", script.text))
                    else:
                        return _checked(reply.value)
        except TimeoutError as error:
            raise Unavailable(f"Redis gave no answer within {self._wait_s} s") from error
        raise Unavailable(f"{LIVE} changed or the scripts vanished {ATTEMPTS_MAX} times during one request")


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
    """Raises for an error reply: ReadModelFault where the fault is ours, else Unavailable."""
    if isinstance(reply, ResponseError):
        if type(reply) is ResponseError and not str(reply).startswith(_BUSY):
            raise ReadModelFault(str(reply)) from reply
        raise Unavailable(f"Redis: {reply!r}") from reply
    return reply
