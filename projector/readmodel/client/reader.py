"""Reads all shards of the active generation, and verifies in the same round trip that it still is the active one."""

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, ResponseError

from projector.readmodel.client.active import LISTED_SLOT, ActiveGeneration, fallback, pointed, upcoming
from projector.readmodel.client.batches import NOTHING, Block, Command
from projector.readmodel.client.cluster import POINTER_SLOT
from projector.readmodel.client.deadlines import Deadlines
from projector.readmodel.client.errors import ReadModelFault, Unavailable
from projector.readmodel.client.nodes import Nodes, has_any
from projector.readmodel.client.refusals import Refusal
from projector.readmodel.client.script import Script
from projector.readmodel.schema.generations import GENERATIONS
from projector.readmodel.schema.keys import LIVE, Generation

# Attempts of one request: the pointer may move meanwhile, and a script may have to be loaded.
ATTEMPTS_MAX = 4
# Error replies that are faults of the read model: a row or record is missing, a key has another type, a script failed.
_FAULT = re.compile(r"MISSING |WRONGTYPE |user_script:\d+:")
_LISTED: Command = ("HGETALL", GENERATIONS)

# Returns a command for each shard, in order.
Commands = Callable[[ActiveGeneration], Sequence[Command | Block]]


class ShardReplies(NamedTuple):
    """`values`: the reply of each shard; none is an error."""

    live: ActiveGeneration
    values: Sequence[object]


class Reader:
    """Methods raise Unavailable if Redis does not answer in time, ReadModelFault if the read model is inconsistent."""

    def __init__(self, redis_url: str, wait_ms: int, connections_max: int) -> None:
        self._wait_s = wait_ms / 1000
        self._nodes = Nodes(redis_url, self._wait_s, connections_max)
        self._deadlines = Deadlines()
        self.live: ActiveGeneration | None = None

    async def close(self) -> None:
        await self._nodes.close()

    def connection(self, n: int) -> AbstractConnection:
        """Returns a new connection to a node, the n-th modulo the number of nodes; not connected yet."""
        return self._nodes.connection(n)

    def deadline_s(self, wait_s: float | None = None) -> float:
        """Returns the deadline of a request that begins now, a time of the loop's clock."""
        return asyncio.get_running_loop().time() + (self._wait_s if wait_s is None else wait_s)

    async def read(self, commands: Commands, script: Script | None, deadline_s: float) -> ShardReplies | None:
        """Returns the replies of all shards of one generation; None while no generation is live."""
        live = self.live
        try:
            with self._deadlines.until(deadline_s):
                for _ in range(ATTEMPTS_MAX):
                    live = live or await self._find_live(deadline_s)
                    if live is None:
                        return None
                    batch = commands(live)
                    if live.listed is not None:
                        batch = [*batch, _LISTED]
                    values, pointers = await self._nodes.read(batch, live.slots, deadline_s)
                    if not _is_still(live, values, pointers):
                        live = None
                    elif script is not None and has_any(NoScriptError, values):
                        await self._load(script, live.slots, values, deadline_s)
                    else:
                        return ShardReplies(live, [_checked(value) for value in values[: len(live.shards)]])
        except TimeoutError as error:
            raise Unavailable(f"Redis did not answer within {self._wait_s} s", Refusal.TIMEOUT) from error
        raise Unavailable(f"{LIVE} changed or the scripts vanished {ATTEMPTS_MAX} times during one request")

    async def call(
        self, command: Command | Block, slot: int, script: Script | None = None, deadline_s: float | None = None
    ) -> object:
        """Returns the reply of any generation. `deadline_s`: None for that of a request that begins now."""
        (value,) = await self.calls([command], [slot], script, deadline_s)
        return value

    async def calls(
        self, commands: Sequence[Command | Block], slots: Sequence[int], script: Script | None, deadline_s: float | None
    ) -> list[object]:
        """As `call`, for several commands, which only read."""
        deadline_s = self.deadline_s() if deadline_s is None else deadline_s
        try:
            with self._deadlines.until(deadline_s):
                values, _ = await self._nodes.read(commands, slots, deadline_s)
                if script is not None and has_any(NoScriptError, values):
                    await self._load(script, slots, values, deadline_s)
                    values, _ = await self._nodes.read(commands, slots, deadline_s)
                return [_checked(value) for value in values]
        except TimeoutError as error:
            raise Unavailable(f"Redis did not answer within {self._wait_s} s", Refusal.TIMEOUT) from error

    async def generations(self) -> list[ActiveGeneration]:
        """Returns the active generation, if there is one, and that which may be switched to next, if there is one."""
        seen = await self.read(_nothing, None, self.deadline_s())
        listed = cast(list[bytes], await self.call(_LISTED, LISTED_SLOT, None, None))
        live = [] if seen is None else [seen.live]
        return [*live, *upcoming(listed, seen.live.generation.number if seen else -1)]

    async def _find_live(self, deadline_s: float) -> ActiveGeneration | None:
        _, (raw, *_) = await self._nodes.read([NOTHING], [POINTER_SLOT], deadline_s)
        pointer = cast(bytes | None, _checked(raw))
        found = None if pointer is None else pointed(pointer)
        if pointer is not None and isinstance(found, Generation):
            (listed,), _ = await self._nodes.read([_LISTED], [LISTED_SLOT], deadline_s)
            found = fallback(pointer, found, cast(list[bytes], _checked(listed)))
        assert not isinstance(found, Generation)
        self.live = found
        return found

    async def _load(self, script: Script, slots: Sequence[int], values: Sequence[object], deadline_s: float) -> None:
        """Loads the script into the nodes that do not have it."""
        slots = [slot for slot, value in zip(slots, values, strict=True) if isinstance(value, NoScriptError)]
        replies, _ = await self._nodes.read([("SCRIPT", "LOAD", script.text)] * len(slots), slots, deadline_s)
        for reply in replies:
            _checked(reply)


def _nothing(live: ActiveGeneration) -> list[Command]:
    return [NOTHING] * len(live.shards)


def _is_still(live: ActiveGeneration, values: Sequence[object], pointers: Sequence[object]) -> bool:
    """Whether the values that the choice of the generation depends on are unchanged."""
    if live.is_stale and _checked(values[-1]) != live.listed:
        return False
    for pointer in pointers:
        if pointer != live.pointer:
            _checked(pointer)
            return False
    return True


def _checked(reply: object) -> object:
    """Returns a reply; for an error reply raises ReadModelFault if the read model is at fault, else Unavailable."""
    if isinstance(reply, ResponseError):
        if _FAULT.match(str(reply)):
            raise ReadModelFault(str(reply)) from reply
        raise Unavailable.of(reply) from reply
    return reply
