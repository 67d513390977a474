"""Redis, be it one server or a cluster."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import MovedError, ResponseError

from projector.readmodel.client.batches import Batches, Block, Command
from projector.readmodel.client.cluster import POINTER, POINTER_SLOT, Cluster
from projector.readmodel.client.errors import Unavailable
from projector.readmodel.client.pools import node_of, target_of
from projector.readmodel.client.refusals import Refusal


class Told(NamedTuple):
    """`values`: replies in the order of the commands; each may be a ResponseError. `pointers`: what `og:live` held, on
    one server after each of the commands, in a cluster beside them.
    """

    values: Sequence[object]
    pointers: Sequence[object]


class Nodes:
    """`redis_url` names a server, sentinels, or any node of a cluster; the others are reached likewise."""

    def __init__(self, redis_url: str, wait_s: float, connections_max: int) -> None:
        target = target_of(redis_url)
        self._one = Batches(target, wait_s, connections_max, points=True)
        self._cluster = Cluster(self._one, node_of(target), wait_s, connections_max)
        self._stands_alone = False

    async def close(self) -> None:
        await asyncio.gather(self._one.close(), self._cluster.close())

    async def read(self, commands: Sequence[Command | Block], slots: Sequence[int], deadline_s: float) -> Told:
        """`slots`: for each command that of all its keys. The deadline, of the loop's clock, is kept by the caller.

        Raises Unavailable.
        """
        if self._stands_alone:
            told = await self._read_one(commands)
            if not _is_sent_away(told):
                return told
            # It has become a node of a cluster.
            self._stands_alone = False
        if await self._cluster.is_one():
            *values, pointer = await self._cluster.read([*commands, POINTER], [*slots, POINTER_SLOT], deadline_s)
            return Told(values, (pointer,))
        told = await self._read_one(commands)
        if _is_sent_away(told):
            reason = "a node of a Redis Cluster does not tell its slots: may this user run CLUSTER SLOTS?"
            raise Unavailable(reason, Refusal.NOPERM)
        self._stands_alone = True
        return told

    async def _read_one(self, commands: Sequence[Command | Block]) -> Told:
        if len(commands) == 1:
            value, pointer = await self._one.ask(commands[0])
            return Told((value,), (pointer,))
        # Put into the queue one right after the other, they are one turn, if they fit.
        replies = await asyncio.gather(*map(self._one.ask, commands))
        return Told([reply.value for reply in replies], [reply.pointer for reply in replies])

    def connection(self, n: int) -> AbstractConnection:
        """One's own, to some node, another one for each n: not connected yet."""
        return self._one.connection() if self._stands_alone else self._cluster.connection(n)


def _is_sent_away(told: Told) -> bool:
    return has_any(MovedError, told.pointers) or has_any(MovedError, told.values)


def has_any(kind: type[ResponseError], replies: Sequence[object]) -> bool:
    """`any` with a generator would take three times as long, and every request comes by here."""
    for reply in replies:  # noqa: SIM110
        if isinstance(reply, kind):
            return True
    return False
