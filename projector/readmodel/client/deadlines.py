"""An end to what tasks wait for, as with `asyncio.timeout`, by one timer for all of them.

A timer for each would cost 3 us, and of a hundred hardly one ever goes off.
"""

import asyncio
from types import TracebackType

Task = asyncio.Task[object]


class Deadlines:
    """Times are those of the loop. A task has one deadline here at a time."""

    def __init__(self) -> None:
        self._due: dict[Task, float] = {}
        # Cancelled by us, and not told so yet.
        self._expired: set[Task] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._due)

    def until(self, due_s: float) -> "Until":
        """What is awaited in its `with` block is cancelled then, and TimeoutError raised."""
        task = asyncio.current_task()
        assert task is not None
        return Until(self, task, due_s)

    def set(self, task: Task, due_s: float) -> None:
        """Then it is cancelled, unless it is dropped before."""
        self._due[task] = due_s
        if self._timer is None or due_s < self._timer.when():
            self._look_at(due_s, task.get_loop())

    def drop(self, task: Task) -> None:
        """At any time, as often as you like."""
        self._due.pop(task, None)

    def has_expired(self, task: Task) -> bool:
        """Whether its cancellation is ours, and ours alone, which ends with that. Tells so once."""
        if task not in self._expired:
            return False
        self._expired.remove(task)
        return task.uncancel() == 0

    def _look_at(self, due_s: float, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(due_s, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Most who were there when the timer was set are gone by now, so it is rare: it may look at all."""
        self._timer = None
        now_s = loop.time()
        for task in [task for task, due_s in self._due.items() if due_s <= now_s]:
            del self._due[task]
            self._expired.add(task)
            task.cancel()
        if self._due:
            self._look_at(min(self._due.values()), loop)


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
