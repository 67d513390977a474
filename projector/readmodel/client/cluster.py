"""Sends commands to the nodes of a Redis Cluster that own their slots, and again after a slot has moved."""

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

# The first and the longest pause before commands are sent again, in seconds. It doubles with each attempt.
PAUSE_FIRST_S = 0.01
PAUSE_MAX_S = 0.15
# Share of a request's time that a node gets to answer CLUSTER SLOTS, before the next node is tried.
SLOTS_SHARE = 0.25

POINTER: Command = ("GET", LIVE)
POINTER_SLOT = key_slot(LIVE.encode())

_SLOTS: Command = ("CLUSTER", "SLOTS")
_ASKING: Command = ("ASKING",)
# Temporary errors: the slot has moved (MovedError is an AskError), is migrating, or has no owner.
_TEMPORARY = (AskError, TryAgainError, ClusterDownError)


class Cluster:
    """`first`: the node of REDIS_URL. `target`: its connection parameters; those of the other nodes are alike."""

    def __init__(self, first: Batches, target: Mapping[str, Any], wait_s: float, connections_max: int) -> None:
        self._first = first
        self._target = target
        self._wait_s = wait_s
        self._connections_max = connections_max
        self._topology: Topology | None = None
        # By the addresses of the topology, and of redirections.
        self._nodes: dict[Address, Batches] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._reading = asyncio.Lock()
        # How often the topology was read: a request that saw another number may be sent again immediately.
        self._reads = 0

    async def close(self) -> None:
        await asyncio.gather(*self._closing, *(node.close() for node in self._nodes.values()))

    async def is_one(self) -> bool:
        """Whether the server is in a cluster: others refuse CLUSTER SLOTS. Raises Unavailable."""
        if self._topology is None:
            await self._read_topology(self._reads, None)
        return self._topology is not None

    async def read(
        self, commands: Sequence[Command | Block], slots: Sequence[int], deadline_s: float
    ) -> Sequence[object]:
        """Returns the replies, each of which may be a ResponseError. `slots`: the slot of each command's keys.

        Sends all commands again if one met a temporary error, so that the replies are from about the same time.
        Raises Unavailable if the error lasts until the deadline, a time of the loop's clock.
        """
        pause_s = PAUSE_FIRST_S
        while True:
            reads = self._reads
            replies = await asyncio.gather(*map(self._send, commands, slots), return_exceptions=True)
            failures = [failure for failure in map(_failure, replies) if failure is not None]
            if not failures:
                return [reply.value for reply in replies if isinstance(reply, Reply)]
            if asyncio.get_running_loop().time() + pause_s >= deadline_s:
                raise failures[0] if isinstance(failures[0], Unavailable) else Unavailable.of(failures[0])
            # A redirection is followed without a pause, unless redirections repeat.
            if pause_s > PAUSE_FIRST_S or not all(isinstance(failure, MovedError) for failure in failures):
                await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
            if not all(_is_migrating(failure) for failure in failures):
                with suppress(Unavailable):
                    await self._read_topology(reads, next(filter(None, map(_moved_to, failures)), None))

    def connection(self, n: int) -> AbstractConnection:
        """Returns a new connection to a node, the n-th modulo the number of nodes; not connected yet."""
        nodes = [*self._nodes.values(), self._first]
        return nodes[n % len(nodes)].connection()

    async def _send(self, command: Command | Block, slot: int) -> Reply:
        owner = self._topology.owner(slot) if self._topology else None
        if owner is None:
            raise Unavailable(f"no node of the Redis Cluster has slot {slot}", Refusal.CLUSTERDOWN)
        reply = await self._node(owner).send(command)
        value = reply.value
        if type(value) is not AskError or isinstance(command, Block):
            return reply
        # The declared keys of the command have moved, but other keys of the slot may not have; a script on the new node
        # would take those for missing. So each script declares a key that never exists, and the new node refuses it.
        reply = await self._node((named(value.host, owner[0]), value.port)).send(Block((_ASKING, command)))
        values = reply.value
        return reply if isinstance(values, ResponseError) else reply._replace(value=cast(list[object], values)[1])

    async def _read_topology(self, reads: int, hint: Address | None) -> None:
        """Sends CLUSTER SLOTS to one node after the other, unless it was done since `reads`. Raises Unavailable."""
        async with self._reading:
            if self._reads != reads:
                return
            failure = Unavailable("no node of Redis answers CLUSTER SLOTS in time", Refusal.AWAY)
            for host, node in self._candidates(hint):
                try:
                    async with asyncio.timeout(self._wait_s * SLOTS_SHARE):
                        slots = (await node.send(_SLOTS)).value
                except TimeoutError:
                    continue
                except Unavailable as error:
                    failure = error
                    continue
                if isinstance(slots, list) and slots:
                    return self._adopt(topology(slots, host))
                if isinstance(slots, ResponseError) and node is self._first:
                    return self._adopt(None)
        raise failure

    def _candidates(self, hint: Address | None) -> list[tuple[str, Batches]]:
        """Returns the hint, then all nodes, each time from another one on: one may be partitioned and not know it."""
        nodes = list(self._topology.nodes) if self._topology else []
        turn = self._reads % (len(nodes) or 1)
        known = [*([hint] if hint else []), *nodes[turn:], *nodes[:turn]]
        first = self._target.get("host", "localhost")
        return [*((address[0], self._node(address)) for address in dict.fromkeys(known)), (first, self._first)]

    def _adopt(self, found: Topology | None) -> None:
        previous, self._topology = self._topology, found
        self._reads += 1
        # A node that is receiving its first slots is kept: it is in neither topology, but already used.
        removed = set(previous.nodes if previous else ()) - set(found.nodes if found else ())
        for address in removed & self._nodes.keys():
            task = asyncio.create_task(self._nodes.pop(address).close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _node(self, address: Address) -> Batches:
        node = self._nodes.get(address)
        if node is None:
            host, port = address
            target = {**self._target, "host": host, "port": port}
            node = self._nodes[address] = Batches(target, self._wait_s, self._connections_max, has_pointer=False)
        return node


def _failure(reply: Reply | BaseException) -> Exception | None:
    """Returns the temporary error of a reply, if it is one."""
    if isinstance(reply, Reply):
        value = reply.value
        return value if isinstance(value, _TEMPORARY) else None
    if isinstance(reply, Unavailable):
        return reply
    raise reply


def _is_migrating(failure: Exception) -> bool:
    """Whether the slot is migrating, and still has its owner: the topology need not be read again."""
    return isinstance(failure, AskError | TryAgainError) and not isinstance(failure, MovedError)


def _moved_to(failure: Exception) -> Address | None:
    """Returns the address in a redirection; None if it has no host, as from a node that does not know its name."""
    return (failure.host, failure.port) if isinstance(failure, MovedError) and failure.host else None
