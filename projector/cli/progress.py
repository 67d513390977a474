"""Shows the progress of a replay on standard error: bars on a terminal, else a line every few seconds."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

# How often a line is printed without a terminal, in seconds.
LINE_EVERY_S = 5.0
# Seconds after which a rate is shown: before, it says nothing.
RATE_AFTER_S = 1.0


class ProgressBars:
    """A Reporter. Each step has one bar, and one more for each worker if there are several."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr, highlight=False)
        self._step = ""
        self._is_done = False
        self._started_s = self._printed_s = 0.0
        self._bars: Progress | None = None
        self._tasks: list[TaskID] = []

    def progress(self, step: str, done: list[int], total: int) -> None:
        now_s = time.monotonic()
        if step != self._step:
            self.finish()
            self._step, self._started_s, self._printed_s = step, now_s, now_s
        elapsed_s = max(now_s - self._started_s, 0.001)
        if self._console.is_terminal:
            self._draw(step, done, total, elapsed_s)
        elif now_s - self._printed_s >= LINE_EVERY_S or self._is_last(sum(done), total):
            self._printed_s = now_s
            workers = f" ({', '.join(f'{part:,}' for part in done)})" if len(done) > 1 else ""
            self._console.print(f"{step}: {summary(sum(done), total, elapsed_s)}{workers}", soft_wrap=True)

    def message(self, text: str) -> None:
        self.finish()
        self._console.print(text, soft_wrap=True)

    def finish(self) -> None:
        """Ends the bars of the step, so that what is printed next is below them."""
        self._step, self._is_done = "", False
        if self._bars:
            self._bars.stop()
            self._bars = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()

    def _is_last(self, done: int, total: int) -> bool:
        """Returns True once for each step, when all is done."""
        is_last, self._is_done = done >= total > 0 and not self._is_done, done >= total
        return is_last

    def _draw(self, step: str, done: list[int], total: int, elapsed_s: float) -> None:
        if self._bars is None:
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
            self._bars = Progress(*columns, console=self._console)
            self._bars.start()
            names = [step, *(f"  worker {i + 1}" for i in range(len(done)) if len(done) > 1)]
            self._tasks = [self._bars.add_task(name, total=max(total, 1), text="") for name in names]
        whole, *workers = self._tasks
        self._bars.update(whole, completed=sum(done), total=max(total, 1), text=summary(sum(done), total, elapsed_s))
        for task, part in zip(workers, done, strict=False):
            self._bars.update(task, completed=part, total=max(total, 1), text=f"{part:,}, {part / elapsed_s:,.0f}/s")


def summary(done: int, total: int, elapsed_s: float) -> str:
    """Returns the progress, with rate and time left once they mean something."""
    if elapsed_s < RATE_AFTER_S:
        return f"{done:,} of {total:,}"
    rate = done / elapsed_s
    left = f", {max(total - done, 0) / rate:,.0f} s left" if rate else ""
    return f"{done:,} of {total:,}, {rate:,.0f}/s{left}"
