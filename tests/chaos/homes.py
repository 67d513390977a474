"""Two homes of a read model with one interface: a real Redis, and the simulation's memory."""

from collections.abc import Iterable
from typing import Any, Protocol

import redis

from projector.readmodel.schema.keys import Generation
from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests import oracle, readmodel
from tests.chaos.ledger import Found, Ledger
from tests.chaos.simulation.redis import Alone, Server, SimulatedStore
from tests.chaos.simulation.store import Memory
from tests.chaos.simulation.world import World
from tests.chaos.stage import found


class ReadModelHome(Protocol):
    store: Any

    def found(self) -> Found: ...

    def check(self, events: Iterable[oracle.Event], received: int) -> None:
        """Checks that it has these events, and counts `received` records."""

    def dump(self) -> object:
        """Returns the whole content, for comparison."""

    def empty(self) -> None: ...

    def set_meta(self, generation: Generation, **meta: str) -> None: ...

    def close(self) -> None: ...


class RealHome:
    def __init__(self, url: str) -> None:
        self.client = redis.Redis.from_url(url)
        self.store: Any = Store(Nodes(url))

    def found(self) -> Found:
        return found(readmodel.read(self.client))

    def check(self, events: Iterable[oracle.Event], received: int) -> None:
        model = readmodel.read(self.client)
        readmodel.check(model, events)
        readmodel.check_accounting(model, received)

    def dump(self) -> object:
        return {key: self.client.dump(key) for key in self.client.scan_iter()}

    def empty(self) -> None:
        self.client.flushdb()

    def set_meta(self, generation: Generation, **meta: str) -> None:
        items = [part for pair in meta.items() for part in pair]
        self.client.hset(generation.keys(0).meta, items=items)

    def close(self) -> None:
        self.store.nodes.close()
        self.client.close()


class SimulatedHome:
    def __init__(self) -> None:
        self._server = Server(World(0))
        self.store: Any = SimulatedStore(self._server, Alone())

    def found(self) -> Found:
        return self._server.memory.found()

    def check(self, events: Iterable[oracle.Event], received: int) -> None:
        # Found has the attributes that check_accounting reads.
        found: Any = self.found()
        Ledger(exact=False).check_documents(found, list(events))
        readmodel.check_accounting(found, received)

    def dump(self) -> object:
        memory = self._server.memory.copy()
        return memory.live, memory.end, {name: shard for name, shard in memory.shards.items() if shard.meta}

    def empty(self) -> None:
        self._server.memory.become(Memory())

    def set_meta(self, generation: Generation, **meta: str) -> None:
        self._server.memory.shard(generation, 0).meta.update(meta)

    def close(self) -> None:
        pass
