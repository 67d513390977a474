"""The processes that build: each folds some partitions and writes its positions to standard output."""

import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, structs

from events.logs.log import Log, Partition
from projector.errors import FatalError
from projector.program import PROGRAM
from projector.readmodel.schema.keys import Generation
from projector.rebuild.bulk import Bulk
from projector.replay.plan import Stretch
from projector.retry import Stopped, retry
from projector.store.redis import Store
from projector.up.child import stop as stop_process

# How the line begins with which a failed command reports its error.
ERROR = "projector: "
# How often the workers are checked, in seconds.
CHECK_EVERY_S = 0.1


class Task(Struct, frozen=True):
    """The work of one worker, as JSON on its command line. `run`: of which it is one builder. `stop`: partition number
    -> position to reach.
    """

    generation: Generation
    topic: str
    run: str
    stop: dict[int, int]
    park: bool

    @property
    def positions(self) -> dict[Partition, int]:
        return {Partition(self.topic, number): offset for number, offset in self.stop.items()}


# A line of JSON on a worker's standard output: partition number -> the position that it has reached.
Reached = dict[int, int]
_decode = msgspec.json.Decoder(Reached).decode


def work(task: Task, log: Log, store: Store, stop: threading.Event) -> None:
    """Builds, in the process of a worker. Raises Stopped, and what Bulk.build raises."""

    def retry_until_stopped(call: Callable[[], Any]) -> Any:
        if stop.is_set():
            raise Stopped
        return retry(stop, call)

    def print_positions(reached: Mapping[Partition, int]) -> None:
        found: Reached = {partition.number: offset for partition, offset in reached.items()}
        print(msgspec.json.encode(found).decode(), flush=True)

    bulk = Bulk(log, store, task.generation, task.run, retry_until_stopped, task.park, print_positions)
    bulk.build(task.positions)


def assign(stretches: Sequence[Stretch], workers: int) -> list[list[Stretch]]:
    """Assigns partitions to workers: the longest first, each to the worker with the fewest events so far."""
    assignments: list[list[Stretch]] = [[] for _ in range(min(workers, len(stretches)))]
    for stretch in sorted(stretches, key=lambda stretch: -stretch.events):
        min(assignments, key=lambda assigned: sum(other.events for other in assigned)).append(stretch)
    return [assigned for assigned in assignments if assigned]


def run_workers(
    task: Task,
    stretches: Sequence[Stretch],
    workers: int,
    data_dir: Path,
    environment: Mapping[str, str],
    stop: threading.Event,
    report_progress: Callable[[list[int]], None],
    report_message: Callable[[str], None],
) -> None:
    """Returns when all workers have reached the end of their stretches. `task`: of each worker, without `stop`.

    `report_progress` gets the events done by each worker, `report_message` their warnings.
    Raises FatalError with the error of a worker that failed, and Stopped; all workers are stopped then.
    """
    running: list[_Worker] = []
    try:
        for assigned in assign(stretches, workers):
            running.append(_Worker(task, assigned, data_dir, environment))
        while any(worker.process.poll() is None for worker in running):
            report_progress([worker.done for worker in running])
            if stop.wait(CHECK_EVERY_S):
                raise Stopped
            for worker in running:
                while worker.warnings:
                    report_message(worker.warnings.popleft())
                worker.check()
        for worker in running:
            worker.check()
        report_progress([worker.done for worker in running])
    finally:
        for worker in running:
            worker.stop()


class _Worker:
    def __init__(
        self, task: Task, stretches: Sequence[Stretch], data_dir: Path, environment: Mapping[str, str]
    ) -> None:
        self._starts = {stretch.partition.number: stretch.start for stretch in stretches}
        self._reached: Reached = dict(self._starts)
        # The last line on standard error: why a worker failed.
        self._last_error: deque[str] = deque(maxlen=1)
        # Other lines on standard error, such as that it waits for Redis.
        self.warnings: deque[str] = deque()
        stops = {stretch.partition.number: stretch.end for stretch in stretches}
        task = structs.replace(task, stop=stops)
        command = ["replay", "work", msgspec.json.encode(task).decode(), "--data-dir", str(data_dir)]
        # When this process ends, so does the standard input of the worker, which then stops.
        self.process = subprocess.Popen(
            [*PROGRAM, *command],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._readers = [
            threading.Thread(target=read, args=[pipe], daemon=True)
            for read, pipe in ((self._read_positions, self.process.stdout), (self._read_messages, self.process.stderr))
        ]
        for reader in self._readers:
            reader.start()

    @property
    def done(self) -> int:
        """How many events."""
        return sum(max(at - self._starts[number], 0) for number, at in self._reached.items())

    def check(self) -> None:
        """Raises FatalError if the worker has failed."""
        if self.process.poll():
            self._join()
            reason = self._last_error[-1] if self._last_error else ""
            if self.process.returncode < 0:
                signal = -self.process.returncode
                reason = f"a worker was killed by signal {signal}, as when memory runs out: run the command again"
            raise FatalError(reason.removeprefix(ERROR) or f"a worker ended with exit code {self.process.returncode}")

    def stop(self) -> None:
        stop_process(self.process)
        self._join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()

    def _join(self) -> None:
        for reader in self._readers:
            reader.join()

    def _read_messages(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            text = line.decode(errors="replace").rstrip()
            self._last_error.append(text)
            if not text.startswith(ERROR):
                self.warnings.append(text)

    def _read_positions(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            self._reached = _decode(line)
