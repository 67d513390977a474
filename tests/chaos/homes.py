"""Two homes of a read model with one interface: a real Redis, and the simulation's memory."""

from collections.abc import Iterable
from typing import Any, Protocol

import redis

from projector.readmodel.schema.keys import Generation
from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests import oracle, readmodel
from tests.chaos.simulation.reading import Reader
from tests.chaos.simulation.redis import Alone, Server, SimulatedStore
from tests.chaos.simulation.store import Memory
from tests.chaos.simulation.world import World


class ReadModelHome(Protocol):
    store: Any

    @property
    def client(self) -> Any:
        """Answers the commands that tests/readmodel.py reads with."""

    def dump(self) -> object:
        """Returns the whole content, for comparison."""

    def empty(self) -> None: ...

    def set_meta(self, generation: Generation, **meta: str) -> None: ...

    def set_ordinals(self, generation: Generation, reserved: int) -> None: ...

    def close(self) -> None: ...


def check(home: ReadModelHome, events: Iterable[oracle.Event], received: int) -> None:
    """Checks that it has these events, and counts `received` records."""
    model = readmodel.read(home.client)
    readmodel.check(model, events)
    readmodel.check_accounting(model, received)


def reserve_what_was_reserved(home: ReadModelHome, generation: Generation) -> None:
    """Gives our writer the block that was reserved last: it is another writer's, whose reservation a failover lost."""
    reserved = int(home.client.get(generation.keys(0).ordinals) or 0)
    home.set_ordinals(generation, max(reserved - 256, 0))
    home.store.ordinals.drop(generation, 0)
    home.store.ordinals.take(generation, 0)
    home.set_ordinals(generation, reserved)


class RealHome:
    def __init__(self, url: str) -> None:
        self.client: Any = redis.Redis.from_url(url)
        self.store: Any = Store(Nodes(url))

    def dump(self) -> object:
        return {key: self.client.dump(key) for key in self.client.scan_iter()}

    def empty(self) -> None:
        self.client.flushdb()

    def set_meta(self, generation: Generation, **meta: str) -> None:
        items = [part for pair in meta.items() for part in pair]
        self.client.hset(generation.keys(0).meta, items=items)

    def set_ordinals(self, generation: Generation, reserved: int) -> None:
        self.client.set(generation.keys(0).ordinals, reserved)

    def close(self) -> None:
        self.store.nodes.close()
        self.client.close()


class SimulatedHome:
    def __init__(self) -> None:
        self._server = Server(World(0))
        self.store: Any = SimulatedStore(self._server, Alone())

    @property
    def client(self) -> Any:
        return Reader(self._server.memory)

    def dump(self) -> object:
        memory = self._server.memory.copy()
        return memory.live, memory.end, {name: shard for name, shard in memory.shards.items() if shard.meta}

    def empty(self) -> None:
        self._server.memory.become(Memory())

    def set_meta(self, generation: Generation, **meta: str) -> None:
        self._server.memory.shard(generation, 0).meta.update(meta)

    def set_ordinals(self, generation: Generation, reserved: int) -> None:
        self._server.memory.shard(generation, 0).ordinals = reserved

    def close(self) -> None:
        pass
