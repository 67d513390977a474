"""Who runs when, and what time it is. Each process is a thread, of which one runs at a time: it goes on until it asks
the log, the store or the clock for something, and then the seed says who is next.
"""

import _thread
import random
import threading
from collections.abc import Callable

# How much time a turn takes, in seconds.
TURN_S = 0.001


class Killed(BaseException):
    """SIGKILL: nothing of the process happens any more."""


class Process:
    """`body` runs in it, and tells by its end how it went."""

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
        except BaseException as error:  # noqa: BLE001  # the life that it ends looks at it
            self.error = error
        self.is_done = True
        self.world.back.release()

    def resume(self) -> None:
        """Called by the world: until its next turn."""
        self._baton.release()
        self.world.back.acquire()
        if self.is_done:
            self._thread.join()

    def turn(self, sleep_s: float = 0.0) -> None:
        """Called by the process: others may run. Raises Killed."""
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
    """`turns`: how likely it is that another process runs when one asks for something."""

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
        """Lets one process have its turn; where none can, it gets later, up to `until_s`."""
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
