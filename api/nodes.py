"""Redis, be it one server or a cluster."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from redis.asyncio.connection import AbstractConnection, parse_url
from redis.exceptions import MovedError

from api.batches import Batches
from api.cluster import POINTER, Asked, Cluster


class Told(NamedTuple):
    """`values`: replies in the order of the commands; each may be a ResponseError. `pointers`: what `og:live` held, on
    one server after each of the commands, in a cluster beside them.
    """

    values: Sequence[object]
    pointers: Sequence[object]


class Nodes:
    """`redis_url` names the server, or any node of a cluster: the others are reached with the same credentials."""

    def __init__(self, redis_url: str, wait_s: float, connections_max: int) -> None:
        target = dict(parse_url(redis_url))
        self._one = Batches(target, wait_s, connections_max, points=True)
        # A cluster has one database, and its nodes tell hosts and ports.
        reached = {name: value for name, value in target.items() if name not in ("db", "path")}
        self._cluster = Cluster(self._one, reached, wait_s, connections_max)
        self._stands_alone = False

    async def close(self) -> None:
        await asyncio.gather(self._one.close(), self._cluster.close())

    async def read(self, asked: Sequence[Asked], deadline_s: float) -> Told:
        """Raises Unavailable. The deadline, of the loop's clock, is kept by the caller: it only tells what is left."""
        while True:
            if not self._stands_alone and await self._cluster.is_one():
                *values, pointer = await self._cluster.read([*asked, POINTER], deadline_s)
                return Told(values, (pointer,))
            self._stands_alone = True
            # One after the other they are put into the queue: together, if they fit, they are one turn.
            futures = [self._one.ask(command) for _, command in asked]
            replies = [await futures[0]] if len(futures) == 1 else await asyncio.gather(*futures)
            told = Told([reply.value for reply in replies], [reply.pointer for reply in replies])
            if not any(isinstance(reply, MovedError) for parts in replies for reply in parts):
                return told
            # It has become a node of a cluster.
            self._stands_alone = False

    def connection(self, n: int) -> AbstractConnection:
        """One's own, to some node, another one for each n: not connected yet."""
        return self._one.connection() if self._stands_alone else self._cluster.connection(n)
