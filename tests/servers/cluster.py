"""A real Redis Cluster: masters without replicas."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from types import TracebackType
from typing import Any, NamedTuple, Self

import redis
from redis.cluster import RedisCluster

from tests.servers.process import free_port, wait_until
from tests.servers.redis import RedisHome, RedisServer, startable_homes

MASTERS = 3
SLOTS = 16384
# Time limit until all nodes serve, in seconds. A master waits two seconds before it does.
JOIN_S = 30.0
# A node that does not answer for so long has failed. On a busy machine, healthy nodes may pause for a while.
NODE_TIMEOUT_MS = 5000


def cluster_home() -> RedisHome | None:
    """Returns a home with a binary: nodes in Docker would announce addresses that clients cannot reach."""
    return next((home for home in startable_homes() if home.binary), None)


class Place(NamedTuple):
    """A running Redis or cluster."""

    url: str
    is_cluster: bool

    def client(self) -> "redis.Redis | RedisCluster":
        """Bytes in, bytes out. The caller closes it."""
        return RedisCluster.from_url(self.url) if self.is_cluster else redis.Redis.from_url(self.url)


class ClusterServer:
    """An empty cluster on free ports, removed after the `with` block. `spare`: masters without slots.

    `nodes` can be killed and restarted one by one; `url` is the first node's.
    """

    def __init__(self, home: RedisHome, masters: int = MASTERS, settings: Sequence[str] = (), spare: int = 0) -> None:
        self.home = home
        self._owners = masters
        self._settings = settings
        self.nodes = [RedisServer(home, *_cluster_settings(), *settings) for _ in range(masters + spare)]
        self.url = self.nodes[0].url
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for node in self.nodes:
                stack.enter_context(node)
            self._join()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def client(self) -> "RedisCluster":
        """Bytes in, bytes out. The caller closes it."""
        return RedisCluster.from_url(self.url)

    @contextmanager
    def node_clients(self) -> Iterator[list["redis.Redis"]]:
        """Yields a client of each node, in the order of `nodes`."""
        with ExitStack() as stack:
            yield [stack.enter_context(node.client()) for node in self.nodes]

    @contextmanager
    def replica(self, of: int) -> Iterator[RedisServer]:
        """Adds a replica, in sync and known to all nodes, that takes over if the master with that number dies."""
        with (
            RedisServer(self.home, *_cluster_settings(), *self._settings) as node,
            node.client() as client,
            self.node_clients() as clients,
        ):
            address = clients[0].connection_pool.connection_kwargs
            _run(client, "CLUSTER MEET", address["host"], address["port"], _bus_port(self.nodes[0]))
            master = _id(clients[of])
            wait_until(lambda: master in _nodes(client), JOIN_S, "the replica to know its master")
            _run(client, "CLUSTER REPLICATE", master)
            own = _id(client)
            wait_until(lambda: _is_in_sync(client), JOIN_S, "the replica to be in sync")
            wait_until(lambda: all(_nodes(c).get(own) == master for c in clients), JOIN_S, "all to know the replica")
            yield node

    def clear(self) -> None:
        with self.node_clients() as clients:
            for client in clients:
                client.flushall()

    def wait(self) -> None:
        """Waits until every node knows all nodes and slots, and serves. Raises TimeoutError."""
        with self.node_clients() as clients:
            wait_until(lambda: all(_serves(client, len(clients)) for client in clients), JOIN_S, "the cluster to serve")

    def owner(self, slot: int) -> int:
        """Returns the number of the node that considers itself the slot's owner."""
        with self.node_clients() as clients:
            return next(n for n, client in enumerate(clients) if slot in _own_slots(client))

    def move(self, slot: int, to: int) -> None:
        """Hands a slot and its keys to the node with that number."""
        begun = self.begin_move(slot, to)
        self.move_keys(slot, to)
        with self.node_clients() as clients:
            # Target and source first, so that the slot always has an owner.
            for client in (clients[to], clients[begun], *clients):
                _run(client, "CLUSTER SETSLOT", slot, "NODE", _id(clients[to]))
        self.wait()

    def slots(self, node: int) -> int:
        """Returns the number of slots of the node with that number."""
        with self.nodes[node].client() as client:
            return len(_own_slots(client))

    def id(self, node: int) -> str:
        with self.nodes[node].client() as client:
            return _id(client)

    def begin_move(self, slot: int, to: int) -> int:
        """Makes the slot's owner redirect requests for missing keys to `to`. Returns the owner's number."""
        begun = self.owner(slot)
        with self.node_clients() as clients:
            _run(clients[to], "CLUSTER SETSLOT", slot, "IMPORTING", _id(clients[begun]))
            _run(clients[begun], "CLUSTER SETSLOT", slot, "MIGRATING", _id(clients[to]))
        return begun

    def cancel_move(self, slot: int) -> None:
        """Undoes `begin_move`: the owner keeps the slot, and gets back the keys that were moved."""
        owner = self.owner(slot)
        with self.node_clients() as clients:
            home = clients[owner].connection_pool.connection_kwargs
            for client in clients[:owner] + clients[owner + 1 :]:
                if keys := _run(client, "CLUSTER GETKEYSINSLOT", slot, 2**31 - 1):
                    # While a slot moves, the owner redirects RESTORE.
                    _run(clients[owner], "CLUSTER SETSLOT", slot, "STABLE")
                    _run(client, "MIGRATE", home["host"], home["port"], "", 0, 5000, "KEYS", *keys)
            for client in clients:
                _run(client, "CLUSTER SETSLOT", slot, "STABLE")

    def move_keys(
        self, slot: int, to: int, number: int | None = None, wanted: Callable[[str], bool] = lambda key: True
    ) -> None:
        """Moves `number` of the slot's wanted keys, by default all, after `begin_move`."""
        with self.node_clients() as clients:
            client = clients[self.owner(slot)]
            target = clients[to].connection_pool.connection_kwargs
            found = filter(wanted, _run(client, "CLUSTER GETKEYSINSLOT", slot, 2**31 - 1))
            if keys := list(islice(found, number)):
                _run(client, "MIGRATE", target["host"], target["port"], "", 0, 5000, "KEYS", *keys)

    def _join(self) -> None:
        with self.node_clients() as clients:
            first = self.nodes[0]
            for n, client in enumerate(clients):
                # Distinct epochs: nodes of equal epochs would have to resolve a conflict.
                _run(client, "CLUSTER SET-CONFIG-EPOCH", n + 1)
                if n < self._owners:
                    start, end = SLOTS * n // self._owners, SLOTS * (n + 1) // self._owners - 1
                    _run(client, "CLUSTER ADDSLOTSRANGE", start, end)
                if n:
                    address = clients[0].connection_pool.connection_kwargs
                    bus = _bus_port(first)
                    _run(client, "CLUSTER MEET", address["host"], address["port"], bus)
        self.wait()


@contextmanager
def cluster_if_any() -> Iterator[ClusterServer | None]:
    """Yields None without a server's binary."""
    home = cluster_home()
    if home is None:
        yield None
    else:
        with ClusterServer(home) as server:
            yield server


def _cluster_settings() -> list[str]:
    # The default port of the bus is 10,000 higher, which may exceed the range.
    return [
        *("--cluster-enabled", "yes"),
        *("--cluster-port", str(free_port())),
        *("--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
    ]


def _bus_port(node: RedisServer) -> int:
    with node.client() as client:
        settings: Any = client.config_get("cluster-port")
        return int(settings["cluster-port"])


def _run(client: "redis.Redis", *command: object) -> Any:
    return client.execute_command(*command)  # type: ignore[no-untyped-call]


def _id(client: "redis.Redis") -> str:
    found = _run(client, "CLUSTER MYID")
    return found.decode() if isinstance(found, bytes) else str(found)


def _nodes(client: "redis.Redis") -> dict[str, str]:
    """Returns the id of each node's master by its id; `-` for masters."""
    return {node["node_id"]: node["master_id"] for node in _run(client, "CLUSTER NODES").values()}


def _is_in_sync(client: "redis.Redis") -> bool:
    found: Any = client.info("replication")
    return bool(found["role"] == "slave" and found["master_link_status"] == "up")


def _own_slots(client: "redis.Redis") -> frozenset[int]:
    nodes = _run(client, "CLUSTER NODES")
    mine = next(node for node in nodes.values() if "myself" in node["flags"])
    return frozenset(
        slot for first, *last in mine["slots"] for slot in range(int(first), int((last or [first])[0]) + 1)
    )


def _serves(client: "redis.Redis", nodes: int) -> bool:
    info = _run(client, "CLUSTER INFO")
    known, assigned = int(info["cluster_known_nodes"]), int(info["cluster_slots_ok"])
    return info["cluster_state"] == "ok" and known == nodes and assigned == SLOTS
