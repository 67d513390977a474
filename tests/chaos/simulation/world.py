"""The scheduler and the clock. Each process is a thread, and one thread runs at a time: until it calls the log, the
store or the clock. Then the seed determines the next one.
"""

import _thread
import random
import threading
from collections.abc import Callable

# The duration of a turn, in seconds.
TURN_S = 0.001


class Killed(BaseException):
    """SIGKILL: ends the process at once."""


class Process:
    """A process that runs `body`. `error`: what `body` raised, if anything."""

    def __init__(self, world: "World", name: str, body: Callable[["Process"], None]) -> None:
        self.world = world
        self.name = name
        self.wake_s = world.now_s
        self.paused_until_s = 0.0
        self.is_killed = False
        self.is_done = False
        self.stopping = False
        self.error: BaseException | None = None
        self._body = body
        self._baton = _thread.allocate_lock()
        self._baton.acquire()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._baton.acquire()
        try:
            if not self.is_killed:
                self._body(self)
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001  # the life checks `error`
            self.error = error
        self.is_done = True
        self.world.back.release()

    def resume(self) -> None:
        """Called by the world. Runs the process until its next turn."""
        self._baton.release()
        self.world.back.acquire()
        if self.is_done:
            self._thread.join()

    def turn(self, sleep_s: float = 0.0) -> None:
        """Called by the process. Lets other processes run. Raises Killed."""
        if self.is_killed:
            raise Killed
        if sleep_s or self.world.chance.random() < self.world.turns:
            self.wake_s = self.world.now_s + sleep_s
            self.world.back.release()
            self._baton.acquire()
            if self.is_killed:
                raise Killed

    def kill(self) -> None:
        """Called by the world."""
        if not self.is_done:
            self.is_killed = True
            self.resume()
        assert self.is_done


class World:
    """`turns`: the probability that a call of a process lets others run."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now_s = 1000.0
        self.turns = self.chance.choice((0.1, 0.4, 0.9))
        self.processes: list[Process] = []
        self.back = _thread.allocate_lock()
        self.back.acquire()

    def start(self, name: str, body: Callable[[Process], None]) -> Process:
        process = Process(self, name, body)
        self.processes.append(process)
        return process

    def alive(self) -> list[Process]:
        return [process for process in self.processes if not process.is_done]

    def step(self, until_s: float) -> None:
        """Runs one process; if none is ready, advances the clock, up to `until_s`."""
        ready = [process for process in self.alive() if due_s(process) <= self.now_s]
        if ready:
            self.chance.choice(ready).resume()
            self.now_s += TURN_S
        else:
            self.now_s = min([until_s, *(due_s(process) for process in self.alive())])

    def end(self) -> None:
        for process in self.alive():
            process.kill()


def due_s(process: Process) -> float:
    return max(process.wake_s, process.paused_until_s)
