"""Sends commands to Redis, one server or a cluster."""

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


class Replies(NamedTuple):
    """`values`: in the order of the commands; each may be a ResponseError. `pointers`: values of `og:live`, from one
    server read after each command, from a cluster once, at about the same time.
    """

    values: Sequence[object]
    pointers: Sequence[object]


class Nodes:
    """`redis_url` names a server, sentinels, or any node of a cluster; its parameters apply to the other nodes, too."""

    def __init__(self, redis_url: str, wait_s: float, connections_max: int) -> None:
        target = target_of(redis_url)
        self._one = Batches(target, wait_s, connections_max, has_pointer=True)
        self._cluster = Cluster(self._one, node_of(target), wait_s, connections_max)
        self._is_single = False

    async def close(self) -> None:
        await asyncio.gather(self._one.close(), self._cluster.close())

    async def read(self, commands: Sequence[Command | Block], slots: Sequence[int], deadline_s: float) -> Replies:
        """`slots`: the slot of each command's keys. The caller enforces the deadline, a time of the loop's clock.

        Raises Unavailable.
        """
        if self._is_single:
            replies = await self._read_one(commands)
            if not _is_redirected(replies):
                return replies
            # The server has become a node of a cluster.
            self._is_single = False
        if await self._cluster.is_one():
            *values, pointer = await self._cluster.read([*commands, POINTER], [*slots, POINTER_SLOT], deadline_s)
            return Replies(values, (pointer,))
        replies = await self._read_one(commands)
        if _is_redirected(replies):
            reason = "expected a node of a Redis Cluster to answer CLUSTER SLOTS, found a refusal: permit the command"
            raise Unavailable(reason, Refusal.NOPERM)
        self._is_single = True
        return replies

    async def _read_one(self, commands: Sequence[Command | Block]) -> Replies:
        if len(commands) == 1:
            value, pointer = await self._one.send(commands[0])
            return Replies((value,), (pointer,))
        # Queued one right after the other, they share a round trip if they fit.
        found = await asyncio.gather(*map(self._one.send, commands))
        return Replies([reply.value for reply in found], [reply.pointer for reply in found])

    def connection(self, n: int) -> AbstractConnection:
        """One's own, to some node, another one for each n: not connected yet."""
        return self._one.connection() if self._is_single else self._cluster.connection(n)


def _is_redirected(replies: Replies) -> bool:
    return has_any(MovedError, replies.pointers) or has_any(MovedError, replies.values)


def has_any(kind: type[ResponseError], replies: Sequence[object]) -> bool:
    """On the path of every request: `any` with a generator would take three times as long."""
    for reply in replies:  # noqa: SIM110
        if isinstance(reply, kind):
            return True
    return False
