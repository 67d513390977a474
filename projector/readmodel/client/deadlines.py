"""Time-outs of tasks, as `asyncio.timeout`, with one timer for all of them.

A timer for each would cost 3 us, and few ever expire.
"""

import asyncio
from math import inf
from types import TracebackType

Task = asyncio.Task[object]


class Deadlines:
    """Times are those of the loop's clock. A task has at most one deadline."""

    def __init__(self) -> None:
        self._due: dict[Task, float] = {}
        # Cancelled by a deadline, until `has_expired` was called.
        self._expired: set[Task] = set()
        # A handle of uvloop does not know its time if that has come.
        self._timer: asyncio.Handle | None = None
        self._timer_s = inf

    def __len__(self) -> int:
        return len(self._due)

    def until(self, due_s: float) -> "Until":
        """Returns a context manager that cancels its block at that time and raises TimeoutError."""
        task = asyncio.current_task()
        assert task is not None
        return Until(self, task, due_s)

    def set(self, task: Task, due_s: float) -> None:
        """Cancels the task at that time, unless `drop` is called before."""
        self._due[task] = due_s
        if due_s < self._timer_s:
            self._schedule(due_s, task.get_loop())

    def drop(self, task: Task) -> None:
        """Removes the deadline. May be called at any time, and repeatedly."""
        self._due.pop(task, None)

    def has_expired(self, task: Task) -> bool:
        """Whether the task was cancelled by its deadline alone. Ends that cancellation; later calls return False."""
        if task not in self._expired:
            return False
        self._expired.remove(task)
        return task.uncancel() == 0

    def _schedule(self, due_s: float, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_s = loop.call_at(due_s, self._expire, loop), due_s

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Checks all tasks. Most are done before the timer expires, so this is rare."""
        self._timer, self._timer_s = None, inf
        now_s = loop.time()
        for task in [task for task, due_s in self._due.items() if due_s <= now_s]:
            del self._due[task]
            self._expired.add(task)
            task.cancel()
        if self._due:
            self._schedule(min(self._due.values()), loop)


class Until:
    __slots__ = ("_deadlines", "_due_s", "_task")

    def __init__(self, deadlines: Deadlines, task: Task, due_s: float) -> None:
        self._deadlines = deadlines
        self._task = task
        self._due_s = due_s

    def __enter__(self) -> None:
        self._deadlines.set(self._task, self._due_s)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines.drop(self._task)
        if kind is asyncio.CancelledError and self._deadlines.has_expired(self._task):
            raise TimeoutError from error
