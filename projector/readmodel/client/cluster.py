"""The nodes of a Redis Cluster. Each command goes to the one that has its slot, and again if the slot has moved."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from redis.asyncio.connection import AbstractConnection
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, ResponseError, TryAgainError

from projector.readmodel.client.batches import Batches, Block, Command, Reply
from projector.readmodel.client.errors import Unavailable
from projector.readmodel.client.refusals import Refusal
from projector.readmodel.client.topology import Address, Topology, named, topology
from projector.readmodel.schema.keys import LIVE

# The first and the longest pause before commands are sent again, in seconds; in between each is twice the one before.
PAUSE_FIRST_S = 0.01
PAUSE_MAX_S = 0.15
# How much of a request's time a node may take to say who has which slots, before another one is asked.
LOOK_SHARE = 0.25

POINTER: Command = ("GET", LIVE)
POINTER_SLOT = key_slot(LIVE.encode())

_SLOTS: Command = ("CLUSTER", "SLOTS")
_ASKING: Command = ("ASKING",)
# The slot is elsewhere (MovedError is an AskError), or on its way, or nobody has it: that may pass.
_PASSING = (AskError, TryAgainError, ClusterDownError)


class Cluster:
    """`first`: a node to begin with. `target`: how it is reached; the others are reached likewise."""

    def __init__(self, first: Batches, target: Mapping[str, Any], wait_s: float, connections_max: int) -> None:
        self._first = first
        self._target = target
        self._wait_s = wait_s
        self._connections_max = connections_max
        self._topology: Topology | None = None
        # Masters under the names of the topology, and nodes that a master has sent us to.
        self._nodes: dict[Address, Batches] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._looking = asyncio.Lock()
        # How often it was looked who has which slots: who saw another number may ask again at once.
        self._looks = 0

    async def close(self) -> None:
        await asyncio.gather(*self._leaving, *(node.close() for node in self._nodes.values()))

    async def is_one(self) -> bool:
        """Whether there is a cluster: a server that stands alone refuses to tell its slots. Raises Unavailable."""
        if self._topology is None:
            await self._look(self._looks, None)
        return self._topology is not None

    async def read(
        self, commands: Sequence[Command | Block], slots: Sequence[int], deadline_s: float
    ) -> Sequence[object]:
        """The replies, each of which may be a ResponseError. `slots`: for each command that of all its keys.

        All of them again, if one did not reach its node: what is used together is of one moment, more or less.
        Raises Unavailable where that does not pass before the deadline, a time of the loop's clock.
        """
        pause_s = PAUSE_FIRST_S
        while True:
            looks = self._looks
            replies = await asyncio.gather(*map(self._ask, commands, slots), return_exceptions=True)
            troubles = [trouble for trouble in map(_trouble, replies) if trouble is not None]
            if not troubles:
                return [reply.value for reply in replies if isinstance(reply, Reply)]
            if asyncio.get_running_loop().time() + pause_s >= deadline_s:
                raise troubles[0] if isinstance(troubles[0], Unavailable) else Unavailable.of(troubles[0])
            # Who was told where to go need not wait, unless he is sent from one to the other.
            if pause_s > PAUSE_FIRST_S or not all(isinstance(trouble, MovedError) for trouble in troubles):
                await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
            if not all(_is_under_way(trouble) for trouble in troubles):
                with suppress(Unavailable):
                    await self._look(looks, next(filter(None, map(_moved_to, troubles)), None))

    def connection(self, n: int) -> AbstractConnection:
        """One's own, to some node, another one for each n: not connected yet."""
        nodes = [*self._nodes.values(), self._first]
        return nodes[n % len(nodes)].connection()

    async def _ask(self, command: Command | Block, slot: int) -> Reply:
        owner = self._topology.owner(slot) if self._topology else None
        if owner is None:
            raise Unavailable(f"no node of the Redis Cluster has slot {slot}", Refusal.CLUSTERDOWN)
        reply = await self._node(owner).ask(command)
        value = reply.value
        if type(value) is not AskError or isinstance(command, Block):
            return reply
        # The keys of this command have moved; other keys of the slot may not have, and a script on the new node would
        # take those for missing. So each script declares a key that never exists: the new node refuses to run it.
        reply = await self._node((named(value.host, owner[0]), value.port)).ask(Block((_ASKING, command)))
        told = reply.value
        return reply if isinstance(told, ResponseError) else reply._replace(value=cast(list[object], told)[1])

    async def _look(self, looks: int, hint: Address | None) -> None:
        """Asks one node after the other who has which slots, unless that was done since. Raises Unavailable."""
        async with self._looking:
            if self._looks != looks:
                return
            for host, node in self._whom(hint):
                try:
                    async with asyncio.timeout(self._wait_s * LOOK_SHARE):
                        slots = (await node.ask(_SLOTS)).value
                except (TimeoutError, Unavailable):
                    continue
                if isinstance(slots, list) and slots:
                    return self._adopt(topology(slots, host))
                if isinstance(slots, ResponseError) and node is self._first:
                    return self._adopt(None)
        raise Unavailable("no node of Redis tells who has which slots", Refusal.AWAY)

    def _whom(self, hint: Address | None) -> list[tuple[str, Batches]]:
        """The hint, then all nodes, beginning each time with another one: one may be cut off and not know it."""
        nodes = list(self._topology.nodes) if self._topology else []
        turn = self._looks % (len(nodes) or 1)
        known = [*([hint] if hint else []), *nodes[turn:], *nodes[:turn]]
        first = self._target.get("host", "localhost")
        return [*((address[0], self._node(address)) for address in dict.fromkeys(known)), (first, self._first)]

    def _adopt(self, found: Topology | None) -> None:
        before, self._topology = self._topology, found
        self._looks += 1
        # Keeps a node that is getting its first slots: it is asked already, and neither topology has it.
        gone = set(before.nodes if before else ()) - set(found.nodes if found else ())
        for address in gone & self._nodes.keys():
            task = asyncio.create_task(self._nodes.pop(address).close())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    def _node(self, address: Address) -> Batches:
        node = self._nodes.get(address)
        if node is None:
            host, port = address
            target = {**self._target, "host": host, "port": port}
            node = self._nodes[address] = Batches(target, self._wait_s, self._connections_max, points=False)
        return node


def _trouble(reply: Reply | BaseException) -> Exception | None:
    """What may pass."""
    if isinstance(reply, Reply):
        value = reply.value
        return value if isinstance(value, _PASSING) else None
    if isinstance(reply, Unavailable):
        return reply
    raise reply


def _is_under_way(trouble: Exception) -> bool:
    """The slot has its owner still, who knows when that is over."""
    return isinstance(trouble, AskError | TryAgainError) and not isinstance(trouble, MovedError)


def _moved_to(trouble: Exception) -> Address | None:
    """A node that does not know its own name is called by none."""
    return (trouble.host, trouble.port) if isinstance(trouble, MovedError) and trouble.host else None
