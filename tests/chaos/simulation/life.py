"""A life: one simulated run of events, processes and faults, determined by a seed. In the end no event may be lost or
applied twice, and no failure may be silent.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import msgspec

from events.errors import LogDiverged, LogGap
from events.logs.log import Partition, Record
from projector.run import Projector
from tests import readmodel
from tests.chaos.ledger import Ledger
from tests.chaos.simulation.events import Events
from tests.chaos.simulation.log import SimulatedLog, Topic
from tests.chaos.simulation.reading import Reader
from tests.chaos.simulation.redis import Alone, Server, SimulatedStore
from tests.chaos.simulation.store import Memory
from tests.chaos.simulation.world import Process, World

# How long faults happen, and the longest lag after that, in seconds.
TROUBLE_S = 6.0
LAG_S = 30.0
# How long late messages are awaited then, in seconds.
LATE_S = 1.5
# The maximum age of the published end of the log, in seconds: it is published once a second.
END_AGE_MAX_S = 3.0
# A life with more steps counts as stuck.
STEPS_MAX = 10_000

_current: list[World] = []


class Stop:
    """Implements threading.Event."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def is_set(self) -> bool:
        return self._process.stopping

    def wait(self, timeout_s: float) -> bool:
        if not self._process.stopping:
            self._process.turn(timeout_s)
        return self._process.stopping


@contextmanager
def simulated() -> Iterator[None]:
    """Replaces clock, randomness, logs and the limit of a commit in the real code."""

    def nothing(*_: object, **__: object) -> None:
        pass

    silent = SimpleNamespace(info=nothing, warning=nothing, error=nothing, debug=nothing)
    clock = SimpleNamespace(monotonic=lambda: _current[-1].now_s, perf_counter=lambda: _current[-1].now_s)
    chance = SimpleNamespace(uniform=lambda low, high: _current[-1].chance.uniform(low, high))
    with (
        # Groups count as large, so that some batches take several commits.
        patch("projector.batches.COMMIT_RECORD_BYTES_MAX", 500),
        # Few groups are many, so that values get bitmaps.
        patch("tests.chaos.simulation.store.BROAD_GROUPS_MIN", 3),
        patch("projector.run.time", clock),
        patch("projector.retry.random", chance),
        patch("projector.run.log", silent),
        patch("projector.succession.log", silent),
        patch("projector.pipeline.log", silent),
        patch("projector.retry.log", silent),
    ):
        yield


class Life:
    def __init__(self, seed: int, report: Callable[[str], None] = lambda text: None) -> None:
        self.world = World(seed)
        self.report = report
        chance = self.world.chance
        self.server = Server(self.world)
        self.topic = Topic(self.world, chance.randint(1, 3))
        self.topic.on_mark = self.on_mark
        self.ending = chance.choices((None, "retention", "truncated", "recreated", "restored"), (20, 1, 1, 1, 1))[0]
        self.has_more = self.ending is None and chance.random() < 0.1
        self.by_group = chance.random() < 0.6
        self.shards = chance.choice((1, 2))
        self.ledger = Ledger(exact=self.by_group and not self.has_more)
        self.events = Events(chance)
        self.happened: Counter[str] = Counter()
        self._names = 0
        self._steps = 0
        self._to_start_s: list[float] = []
        _current[:] = [self.world]

    def run(self) -> None:
        """Raises AssertionError."""
        chance = self.world.chance
        try:
            if self.shards > 1:
                SimulatedStore(self.server, Alone()).generation(self.shards)
            for _ in range(chance.randint(1, 3)):
                self.start()
            self.trouble()
            if self.ending:
                self.end_of_the_log()
            else:
                self.recover()
                if chance.random() < 0.3:
                    self.deafness()
                self.stop()
        finally:
            self.world.end()

    def start(self) -> Process:
        self._names += 1
        return self.world.start(f"process {self._names}", self._project)

    def _project(self, process: Process) -> None:
        log, store, stop = SimulatedLog(self.topic, process), SimulatedStore(self.server, process), Stop(process)
        found: Any = (log, store, stop)
        Projector(*found).run()

    def trouble(self) -> None:
        chance, start_s = self.world.chance, self.world.now_s
        agenda: list[tuple[float, int, Callable[[], None]]] = []
        for number in range(chance.randint(15, 45)):
            agenda.append((start_s + chance.uniform(0, TROUBLE_S), number, self.publish))
        faults = (
            *(self.kill, self.pause, self.redis_away, self.lose_writes),
            *(self.log_away, self.come_or_go, self.flake, self.tear, self.empty_at_start, self.switch),
            self.lose_reservations,
        )
        at_s = start_s
        for number in range(chance.randint(2, 9)):
            # Half of the faults follow another one closely.
            is_separate = number == 0 or chance.random() < 0.5
            at_s = start_s + chance.uniform(0, TROUBLE_S) if is_separate else at_s + chance.uniform(0, 0.3)
            agenda.append((at_s, 100 + number, chance.choice(faults)))
        if self.has_more:
            agenda.append((start_s + chance.uniform(0, TROUBLE_S), 99, self.add_partition))
        for at_s, _, happens in sorted(agenda):
            self.until(at_s)
            happens()
            if happens != self.publish:
                self.report(f"{self.world.now_s - start_s:.3f} s: {happens.__name__}")
                self.happened[happens.__name__] += 1
            if chance.random() < 0.05:
                self.check_now()
        self.until(start_s + TROUBLE_S)

    def until(self, at_s: float, ready: Callable[[], bool] = lambda: False) -> bool:
        """Runs processes until that time, or until `ready`. Returns whether it is ready."""
        world = self.world
        while world.now_s < at_s and not ready():
            self._steps += 1
            assert self._steps < STEPS_MAX, "stuck"
            if self._to_start_s and self._to_start_s[0] <= world.now_s:
                self._to_start_s.pop(0)
                self.start()
            if self.server.wires and world.chance.random() < 0.3:
                self.server.arrive(world.chance.choice(self.server.wires))
            world.step(min([at_s, *self._to_start_s]))
            self._check_processes()
        return ready()

    def _check_processes(self) -> None:
        for process in self.world.processes:
            if process.error and not (self.ending and isinstance(process.error, LogGap | LogDiverged)):
                raise AssertionError(f"{process.name} died: {process.error!r}") from process.error

    # Events and faults.

    def publish(self) -> None:
        event, entry = self.events.next()
        partitions = sorted(self.topic.records)
        key = entry.key or b""
        number = sum(key) % len(partitions) if self.by_group else self.world.chance.randrange(len(partitions))
        offset = self.topic.append(partitions[number], entry)
        self.ledger.note(str(partitions[number]), offset, event)

    def kill(self) -> None:
        if alive := self.world.alive():
            self.world.chance.choice(alive).kill()
            self._restart()

    def _restart(self) -> None:
        self._to_start_s = sorted([*self._to_start_s, self.world.now_s + self.world.chance.uniform(0.05, 1.0)])

    def pause(self) -> None:
        """Pauses a process, if possible while it works."""
        for _ in range(self.world.chance.randint(0, 8)):
            self.publish()
        self.until(self.world.now_s + self.world.chance.uniform(0, 0.3))
        if alive := self.world.alive():
            process = self.world.chance.choice(alive)
            process.paused_until_s = self.world.now_s + self.world.chance.choice((0.5, 5.0, 15.0))
            if self.world.chance.random() < 0.7:
                # Counts as dead at once, without waiting for the session's end.
                self.topic.leave(process)

    def redis_away(self) -> None:
        self.server.down_until_s = self.world.now_s + self.world.chance.uniform(0.05, 2.0)
        self.server.restart()

    def lose_writes(self) -> None:
        chance, server = self.world.chance, self.server
        if chance.random() < 0.5:
            server.restart()
        server.lose_writes(Memory() if chance.random() < 0.4 else chance.choice(server.snapshots))

    def empty_at_start(self) -> None:
        """Redis is emptied after a process has read its generation, and another process creates one."""
        self.start()
        self.until(self.world.now_s + self.world.chance.uniform(0.002, 0.05))
        self.server.lose_writes(Memory())
        self.start()

    def switch(self) -> None:
        """Simulates a replay: it closes the live generation, and switches to another one, or dies."""
        memory, live = self.server.memory, self.server.memory.live
        if live is None or any("version" not in memory.shard(live, n).meta for n in range(live.shards)):
            return
        if any(memory.shard(live, n).note for n in range(live.shards)):
            # A generation built by a replay has no half written commit.
            return
        shards = [memory.shard(live, number) for number in range(live.shards)]
        for shard in shards:
            shard.meta["sealed"] = f"replay at {self.world.now_s}"
        self.server.replay = "running"
        closed = [shard.copy() for shard in shards]
        for _ in range(self.world.chance.randint(0, 4)):
            self.publish()
        self.until(self.world.now_s + self.world.chance.uniform(0, 0.5))
        if self.world.chance.random() < 0.7:
            for before, after in zip(closed, shards, strict=True):
                # Ordinals may be reserved: to no end.
                before.meta, before.ordinals = after.meta, after.ordinals
            assert closed == shards, "written after it was closed"
            self.server.made += 1
            memory.live = msgspec.structs.replace(live, number=live.number + 1, nonce=f"simulated-{self.server.made}")
            for number, shard in enumerate(closed):
                shard.meta = {"version": str(live.version), "nonce": memory.live.nonce, "log": self.topic.identity}
                memory.shards[memory.live.number, number] = shard
            self.happened["switched"] += 1
        self.server.replay = None

    def log_away(self) -> None:
        self.topic.down_until_s = self.world.now_s + self.world.chance.uniform(0.05, 2.0)
        self.topic.interruptions += 1

    def come_or_go(self) -> None:
        alive = self.world.alive()
        if len(alive) > 1 and self.world.chance.random() < 0.5:
            self.world.chance.choice(alive).stopping = True
        elif len(alive) < 4:
            self.start()

    def flake(self) -> None:
        self.server.flaky = self.world.chance.choice((0.0, 0.02, 0.2))

    def tear(self) -> None:
        """Makes commands of commits fail, for a while."""
        self.server.tearing = self.world.chance.choice((0.0, 0.1, 0.7))

    def lose_reservations(self) -> None:
        """Lets failovers lose reservations of ordinals alone, while new processes reserve some for new groups."""
        self.server.forgetful = self.world.chance.choice((0.5, 1.0))
        for _ in range(2):
            self.start()
        self.until(self.world.now_s + self.world.chance.uniform(0, 1.0))
        self.events.groups += 10
        for _ in range(self.world.chance.randint(8, 16)):
            self.publish()

    def add_partition(self) -> None:
        self.topic.add_partition()

    # Checks.

    def found(self) -> readmodel.ReadModel:
        """Reads the live generation. Raises AssertionError where its parts do not fit each other."""
        memory = self.server.memory
        number, shards = (memory.live.number, memory.live.shards) if memory.live else (0, 0)
        return readmodel.read(cast(Any, Reader(memory)), number, shards)

    def check_now(self) -> None:
        """Checks at any time that readers see what the log has up to the positions."""
        memory = self.server.memory
        if memory.is_level():
            self.ledger.check(self.found(), complete=False)
            self.happened["check_now"] += 1

    def on_mark(self, partition: Partition, offset: int) -> None:
        """Checks that only offsets that Redis has, or had, are committed to the log."""
        memory = self.server.memory
        if offset and memory.live and not self.server.losses:
            for number in range(memory.live.shards):
                assert offset <= memory.shard(memory.live, number).position.get(str(partition), 0), "too early"

    def is_complete(self) -> bool:
        memory, live = self.server.memory, self.server.memory.live
        if live is None:
            return False
        shards = [memory.shard(live, number).position for number in range(live.shards)]
        return all(position.get(name) == end for name, end in self.ledger.ends.items() for position in shards)

    def calm(self) -> None:
        now_s = self.world.now_s
        self.server.down_until_s = self.topic.down_until_s = self.server.flaky = self.server.tearing = 0.0
        self.server.forgetful = 0.0
        for process in self.world.alive():
            process.paused_until_s = now_s
        if all(process.stopping for process in self.world.alive()) and not self._to_start_s:
            self.start()

    def recover(self) -> None:
        self.calm()
        end_s = self.world.now_s + LAG_S
        assert self.until(end_s, self.is_complete), f"lags after {LAG_S} s"
        self.until(self.world.now_s + LATE_S)
        self.ledger.check(self.found())
        # Some processes may still wait for a lost answer.
        is_published = self.until(self.world.now_s + 2 * END_AGE_MAX_S, lambda: self._published_end() == self._end())
        assert is_published, "the published end of the log is wrong"

    def deafness(self) -> None:
        """The log has more records, but returns none: the lag must be visible."""
        self.happened["deafness"] += 1
        self.topic.is_deaf = True
        for _ in range(3):
            self.publish()
        self.until(self.world.now_s + END_AGE_MAX_S)
        assert not self.is_complete()
        assert self._published_end() == self._end(), "the lag is not visible"
        self.topic.is_deaf = False
        self.recover()

    def stop(self) -> None:
        for process in self.world.alive():
            process.stopping = True
        assert self.until(self.world.now_s + LAG_S, lambda: not self.world.alive()), "does not stop"
        self._check_processes()
        self.ledger.check(self.found())

    def end_of_the_log(self) -> None:
        """The log loses applied records: all processes must stop with an error, and leave Redis unchanged."""
        self.calm()
        self.until(self.world.now_s + LAG_S, self.is_complete)
        lost = [partition for partition in self.topic.records if self.topic.end(partition) > 1]
        if not lost:
            return
        self.happened[str(self.ending)] += 1
        if self.ending == "retention":
            self.server.restart()
            self.server.lose_writes(Memory())
            for partition in lost:
                self.topic.truncate(partition, self.topic.end(partition) - self.world.chance.randint(0, 1))
        elif self.ending == "truncated":
            for partition in lost:
                del self.topic.records[partition][-self.world.chance.randint(1, 2) :]
        elif self.ending == "restored":
            for partition in lost:
                self._restore(partition)
        else:
            self._recreate(lost)
        end_s = self.world.now_s + 2 * LAG_S
        assert self.until(end_s, lambda: not self.world.alive() and not self._to_start_s), (
            "continues although the log has lost events"
        )
        diverged = any(isinstance(process.error, LogDiverged) for process in self.world.processes)
        assert diverged or (self.ending != "restored" and any(process.error for process in self.world.processes))
        assert bool(self.server.memory.diverged) == diverged, "the divergence is not published, or wrongly"
        found = self.found()
        if self.ending == "retention":
            # A partition of one record has lost nothing.
            mistaken = [partition for partition in lost if found.positions.get(str(partition))]
            assert not mistaken, "the rest of the log was taken for all of it"
            self.ledger.check(found, complete=False)
        else:
            self.ledger.check(found)

    def _restore(self, partition: Partition) -> None:
        """Restores the log to an older state, from which it has grown past its former end."""
        former = self.topic.records[partition]
        chance = self.world.chance
        kept = former[: -chance.randint(1, len(former))]
        first = kept[-1].offset + 1 if kept else self.topic.first[partition]
        grown = []
        for offset in range(first, self.topic.end(partition) + chance.randint(0, 3)):
            _, entry = self.events.next()
            grown.append(Record(partition, offset, 1_790_000_000_000, entry.key, entry.value, entry.headers))
        self.topic.restore(partition, kept + grown)

    def _recreate(self, partitions: list[Partition]) -> None:
        """Replaces the log by a longer one."""
        self.topic.identity = "log-1"
        for partition in partitions:
            former = self.topic.records[partition]
            _, entry = self.events.next()
            self.topic.records[partition] = [
                Record(partition, offset, 0, entry.key, entry.value, entry.headers)
                for offset in range(2 * len(former) + 1)
            ]
        self.topic.granted.clear()
        self.topic.rebalance()

    def _end(self) -> dict[str, int]:
        return {str(partition): self.topic.end(partition) for partition in self.topic.records}

    def _published_end(self) -> dict[str, int]:
        return {name: self.server.memory.end.get(name, 0) for name in self._end()}
