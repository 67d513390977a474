"""The simulated store: one process's view of a server, through a network that loses requests and answers."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import Any, Protocol, cast

from events.logs.log import Partition
from projector.anchors import Anchors
from projector.errors import StoreUnavailable
from projector.project import Stored
from projector.readmodel.schema.generations import Listed
from projector.readmodel.schema.keys import VERSION, Generation
from projector.store.commit import Outcome
from projector.store.ordinals import Ordinals
from projector.store.redis import Store
from tests.chaos.simulation.request import Argument, encoded
from tests.chaos.simulation.store import Memory, Shard, Torn
from tests.chaos.simulation.world import World

# How long a process waits for a lost answer, in seconds.
TIMEOUT_S = 2.0
# How many older states a server keeps, to lose writes to.
SNAPSHOTS_MAX = 6
# One in so many commits makes a snapshot.
SNAPSHOT = 5

States = Mapping[str, Stored | None]


class Turns(Protocol):
    def turn(self, sleep_s: float = 0.0) -> None: ...


class Alone:
    """A process without others in its world."""

    def turn(self, sleep_s: float = 0.0) -> None:
        pass


class Wire:
    """A commit in the network. It may arrive although the process has stopped waiting for it."""

    def __init__(self, generation: Generation, shard: int, arguments: list[bytes]) -> None:
        self.generation = generation
        self.shard = shard
        self.arguments = arguments
        self.outcome: Outcome | None = None
        self.is_torn = False


class Server:
    """`flaky`: probability that a request or an answer is lost; `tearing`: that a commit fails halfway; `forgetful`:
    that a failover loses a reservation of ordinals, and nothing else.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.memory = Memory()
        self.snapshots: list[Memory] = [Memory()]
        self.wires: list[Wire] = []
        self.down_until_s = 0.0
        self.flaky = 0.0
        self.tearing = 0.0
        self.forgetful = 0.0
        self.torn = 0
        # Reservations that were lost alone.
        self.forgotten = 0
        self.made = 0
        # The lease of a replay.
        self.replay: str | None = None
        self.losses = 0
        self.restarts = 0
        # Answers that were outdated when they were read.
        self.stale = 0

    def request(self, process: Turns) -> None:
        """Simulates a request. Raises StoreUnavailable if it does not arrive."""
        process.turn()
        if self.world.now_s < self.down_until_s:
            process.turn(0.05)
            raise StoreUnavailable("simulated: refused")
        self.lose(process)

    def lose(self, process: Turns) -> None:
        """Loses a request or an answer, with probability `flaky`. Raises StoreUnavailable."""
        if self.flaky and self.world.chance.random() < self.flaky:
            process.turn(TIMEOUT_S)
            raise StoreUnavailable("simulated: no answer")

    def arrive(self, wire: Wire) -> None:
        if wire in self.wires:
            self.wires.remove(wire)
        if wire.outcome is None and not wire.is_torn:
            chance = self.world.chance
            tear = chance if self.tearing and chance.random() < self.tearing else None
            try:
                wire.outcome = self.memory.commit(wire.generation, wire.shard, wire.arguments, tear)
            except Torn:
                wire.is_torn = True
                self.torn += 1
            if wire.outcome is Outcome.STORED and self.world.chance.randrange(SNAPSHOT) == 0:
                self.snapshots = [*self.snapshots[-SNAPSHOTS_MAX:], self.memory.copy()]

    def restart(self) -> None:
        """Drops all connections, and commits in the network."""
        self.restarts += 1
        self.wires.clear()

    def lose_writes(self, older: Memory) -> None:
        self.losses += 1
        self.memory.become(older)


class SimulatedStore:
    """Implements Store. The live generation is always open."""

    known: Any = Store.known

    def __init__(self, server: Server, process: Turns) -> None:
        self._server = server
        self._process = process
        # It also implements the methods of Catalogue and Nodes that are used.
        self.catalogue = self.nodes = self
        self.ordinals = Ordinals(cast(Any, self))

    def rewrite_files(self) -> list[str]:
        """Has no append-only files."""
        return []

    def generation(self, shards: int = 1, personal_data: bool = True) -> Generation:
        memory = self._server.memory
        while True:
            self._server.request(self._process)
            if memory.live is None:
                self._server.made += 1
                memory.live = Generation(0, shards, VERSION, f"simulated-{self._server.made}")
            generation = memory.live
            for shard in range(generation.shards):
                self._open(generation, shard)
            if self.live() == generation:
                return generation

    def _open(self, generation: Generation, shard: int) -> None:
        """Drops what is left of another generation with this number."""
        self._server.request(self._process)
        memory = self._server.memory
        if memory.is_of_another(generation, shard):
            if self.live() != generation:
                return
            self._server.request(self._process)
            if memory.is_of_another(generation, shard):
                memory.shards[generation.number, shard] = Shard()
        memory.shard(generation, shard).meta.update(version=str(VERSION), nonce=generation.nonce)

    def live(self) -> Generation | None:
        self._server.request(self._process)
        return self._server.memory.live

    def replay(self) -> str | None:
        self._server.request(self._process)
        return self._server.replay

    def seals(self, generation: Generation) -> list[str | None]:
        self._server.request(self._process)
        return [self._server.memory.shard(generation, shard).meta.get("sealed") for shard in range(generation.shards)]

    def unseal(self, generation: Generation, seals: Sequence[str | None]) -> None:
        self._server.request(self._process)
        for shard, holder in enumerate(seals):
            meta = self._server.memory.shard(generation, shard).meta
            if meta.get("sealed") == holder:
                meta.pop("sealed", None)

    def bind_log(self, generation: Generation, log: str) -> str:
        self._server.request(self._process)
        return self._server.memory.shard(generation, 0).meta.setdefault("log", log)

    def finish(self, generation: Generation, shard: int) -> None:
        self._server.request(self._process)
        part = self._server.memory.shard(generation, shard)
        if self._server.memory.closed(generation, part) is None:
            self._server.memory.redo(part, None)

    def check_eviction(self) -> None:
        self._server.request(self._process)

    def tallied(self, generation: Generation, shard: int, names: Sequence[str]) -> list[int]:
        self._server.request(self._process)
        tally = self._server.memory.shard(generation, shard).tally
        return [tally.get(name, 0) for name in names]

    def poison_pills(self, generation: Generation) -> frozenset[str]:
        """Simulated processes never die of an event."""
        return frozenset()

    def write_even_if_full(self, key: str, *command: str | bytes | int) -> None:
        """Drops the write: marks of poison pills have no effect here."""
        self._server.request(self._process)

    def errors(self) -> AbstractContextManager[None]:
        return nullcontext()

    def of(self, key: str) -> "SimulatedStore":
        return self

    def all(self) -> Sequence["SimulatedStore"]:
        """Without masters, no memory is read."""
        return ()

    def eval(self, script: str, number: int, meta: str, ordinals: str, absent: str, count: int) -> int:
        """Reserves ordinals, the one script that is sent so."""
        server = self._server
        server.request(self._process)
        named = re.fullmatch(r"og:\{(\d+)\.(\d+)\}:ordinals", ordinals)
        assert named
        part = server.memory.shards.get((int(named[1]), int(named[2])), Shard())
        if "version" not in part.meta:
            return count
        reserved = part.ordinals + count
        if server.forgetful and server.world.chance.random() < server.forgetful:
            server.forgotten += 1
        else:
            part.ordinals = reserved
        server.lose(self._process)
        return reserved

    def hmget(self, key: str, names: Sequence[str]) -> list[None]:
        self._server.request(self._process)
        return [None] * len(names)

    def hlen(self, key: str) -> int:
        self._server.request(self._process)
        return 0

    def scard(self, key: str) -> int:
        return self.hlen(key)

    def listed(self) -> list[Listed]:
        self._server.request(self._process)
        return []

    def publish_end(self, generation: Generation, end: Mapping[Partition, int]) -> None:
        self._server.request(self._process)
        self._server.memory.end.update({str(partition): offset for partition, offset in end.items()})

    def positions(self, generation: Generation, shard: int, partitions: Sequence[Partition]) -> list[int | None]:
        self._server.request(self._process)
        return self._server.memory.positions(generation, shard, partitions)

    def positions_and_anchors(
        self, generation: Generation, shard: int, partitions: Sequence[Partition]
    ) -> list[tuple[int | None, Anchors | None]]:
        self._server.request(self._process)
        return self._server.memory.positions_and_anchors(generation, shard, partitions)

    def mark_diverged(self, generation: Generation, reasons: Mapping[Partition, str]) -> None:
        self._server.request(self._process)
        self._server.memory.diverged.update(map(str, reasons))

    def unmark_diverged(self, generation: Generation, partitions: Sequence[Partition]) -> None:
        self._server.request(self._process)
        self._server.memory.diverged.difference_update(map(str, partitions))

    def load(self, generation: Generation, shard: int, group_ids: Sequence[str]) -> States:
        return self.start_load(generation, shard, group_ids).groups()

    def start_load(self, generation: Generation, shard: int, group_ids: Sequence[str]) -> "SimulatedLoad":
        return SimulatedLoad(self._server, self._process, partial(self._load, generation, shard, group_ids))

    def _load(self, generation: Generation, shard: int, group_ids: Sequence[str]) -> States:
        return self._server.memory.load(generation, shard, group_ids)

    def commit(self, generation: Generation, shard: int, request: Sequence[Argument]) -> "SimulatedCommit":
        return SimulatedCommit(self._server, self._process, Wire(generation, shard, encoded(request)))


class SimulatedLoad:
    """Implements PendingLoad. The server answers at once, or only when the process waits for the answer."""

    def __init__(self, server: Server, process: Turns, load: Callable[[], States]) -> None:
        self._server = server
        self._process = process
        self._load = load
        self._states: States | None = None
        self._restarts = 0
        if server.world.chance.random() < 0.5:
            with suppress(StoreUnavailable):
                self._send()

    def _send(self) -> None:
        self._server.request(self._process)
        self._states, self._restarts = self._load(), self._server.restarts

    def groups(self) -> States:
        if self._restarts != self._server.restarts:
            # The connection is lost.
            self._states = None
        if self._states is None:
            self._send()
        states, self._states = self._states, None
        assert states is not None
        self._server.lose(self._process)
        self._server.stale += states != self._load()
        return states

    def discard(self) -> None:
        self._states = None


class SimulatedCommit:
    """Implements PendingCommit."""

    def __init__(self, server: Server, process: Turns, wire: Wire) -> None:
        self._server = server
        self._process = process
        self._first = wire
        self._wire: Wire | None = None
        with suppress(StoreUnavailable):
            self._send()

    def _send(self) -> None:
        self._server.request(self._process)
        self._wire = Wire(self._first.generation, self._first.shard, self._first.arguments)
        self._server.wires.append(self._wire)

    def outcome(self) -> Outcome:
        while (outcome := self._outcome()) is Outcome.FINISHED:
            pass
        return outcome

    def _outcome(self) -> Outcome:
        if self._wire is None:
            self._send()
        wire, self._wire = self._wire, None
        assert wire is not None
        # Meanwhile the server may have received it, or failed. Otherwise it arrives now, or later.
        self._process.turn()
        if wire.outcome is None and not wire.is_torn:
            if wire not in self._server.wires:
                raise StoreUnavailable("simulated: connection lost")
            self._server.lose(self._process)
            self._server.arrive(wire)
        self._server.lose(self._process)
        if wire.is_torn:
            raise StoreUnavailable("simulated: a command failed", "OTHER")
        assert wire.outcome is not None
        return wire.outcome

    def discard(self) -> None:
        self._wire = None
