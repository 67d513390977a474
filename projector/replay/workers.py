"""The processes that build: each folds some of the partitions, and tells on its standard output how far it is."""

import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from events.logs.log import Log, Partition
from projector.errors import FatalError
from projector.readmodel.schema.keys import Generation
from projector.rebuild.builder import Builder
from projector.replay.plan import Stretch
from projector.retry import Stopped, retry
from projector.store.redis import Store
from projector.up.child import stop as stop_process

# What the line begins with that says why a command has failed.
ERROR = "projector: "
# How often the workers are looked at, in seconds.
LOOK_S = 0.1


class Task(Struct, frozen=True):
    """What one worker is told, as JSON on its command line. `stop`: partition number -> position to reach."""

    generation: Generation
    topic: str
    stop: dict[int, int]
    park: bool

    @property
    def positions(self) -> dict[Partition, int]:
        return {Partition(self.topic, number): offset for number, offset in self.stop.items()}


# What a worker tells, as a line of JSON: partition number -> the position that it has reached.
Told = dict[int, int]
_told = msgspec.json.Decoder(Told)


def work(task: Task, log: Log, store: Store, stop: threading.Event) -> None:
    """The worker's side. Raises Stopped, and what Builder.advance raises."""

    def until_stopped(call: Callable[[], Any]) -> Any:
        if stop.is_set():
            raise Stopped
        return retry(stop, call)

    builder = Builder(log, store, task.generation, list(task.positions), until_stopped, task.park)

    def tell() -> None:
        told: Told = {partition.number: offset for partition, offset in builder.positions.items()}
        print(msgspec.json.encode(told).decode(), flush=True)

    try:
        builder.advance(task.positions, tell)
    finally:
        builder.close()


def share(stretches: Sequence[Stretch], workers: int) -> list[list[Stretch]]:
    """Partitions go to the worker that has least to do so far, the longest first."""
    shares: list[list[Stretch]] = [[] for _ in range(min(workers, len(stretches)))]
    for stretch in sorted(stretches, key=lambda stretch: -stretch.events):
        min(shares, key=lambda taken: sum(other.events for other in taken)).append(stretch)
    return [taken for taken in shares if taken]


def run_workers(
    generation: Generation,
    stretches: Sequence[Stretch],
    workers: int,
    park: bool,
    data_dir: Path,
    environment: Mapping[str, str],
    stop: threading.Event,
    tell: Callable[[list[int]], None],
    say: Callable[[str], None],
) -> None:
    """Returns when all have come to the end of their stretches. `tell` gets the events done by each worker, `say` what
    they warn of.

    Raises FatalError with the words of one that failed, Stopped; by then none runs any more.
    """
    running: list[_Worker] = []
    try:
        for taken in share(stretches, workers):
            running.append(_Worker(generation, taken, park, data_dir, environment))
        while any(worker.process.poll() is None for worker in running):
            tell([worker.done for worker in running])
            if stop.wait(LOOK_S):
                raise Stopped
            for worker in running:
                while worker.warnings:
                    say(worker.warnings.popleft())
                worker.check()
        for worker in running:
            worker.check()
        tell([worker.done for worker in running])
    finally:
        for worker in running:
            worker.stop()


class _Worker:
    def __init__(
        self,
        generation: Generation,
        stretches: Sequence[Stretch],
        park: bool,
        data_dir: Path,
        environment: Mapping[str, str],
    ) -> None:
        self._starts = {stretch.partition.number: stretch.start for stretch in stretches}
        self._told: Told = dict(self._starts)
        # The last of what it says on standard error is why it failed.
        self._said: deque[str] = deque(maxlen=1)
        # What comes before, such as that it waits for Redis, is for the user to see.
        self.warnings: deque[str] = deque()
        stops = {stretch.partition.number: stretch.end for stretch in stretches}
        task = Task(generation, stretches[0].partition.topic, stops, park)
        command = ["replay", "work", msgspec.json.encode(task).decode(), "--data-dir", str(data_dir)]
        # Its standard input ends when we are gone, and so does it.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "projector", *command],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._listeners = [
            threading.Thread(target=listen, args=[pipe], daemon=True)
            for listen, pipe in ((self._hear, self.process.stdout), (self._overhear, self.process.stderr))
        ]
        for listener in self._listeners:
            listener.start()

    @property
    def done(self) -> int:
        """Events."""
        return sum(max(at - self._starts[number], 0) for number, at in self._told.items())

    def check(self) -> None:
        """Raises FatalError where it has failed."""
        if self.process.poll():
            self._join()
            said = self._said[-1] if self._said else ""
            if self.process.returncode < 0:
                said = f"a worker was killed by signal {-self.process.returncode}, as when memory runs out: do it again"
            raise FatalError(said.removeprefix(ERROR) or "a worker ended, and said nothing")

    def stop(self) -> None:
        stop_process(self.process)
        self._join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()

    def _join(self) -> None:
        for listener in self._listeners:
            listener.join()

    def _overhear(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            text = line.decode(errors="replace").rstrip()
            self._said.append(text)
            if not text.startswith(ERROR):
                self.warnings.append(text)

    def _hear(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            self._told = _told.decode(line)
