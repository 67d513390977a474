"""How a replay reports its progress."""

from collections.abc import Callable
from typing import Protocol

from projector.readmodel.schema.generations import Progress


class Reporter(Protocol):
    def progress(self, step: str, done: list[int], total: int) -> None:
        """`done`: events or groups done by each worker; `total`: to be done by all together. Called often."""

    def message(self, text: str) -> None: ...


class ProgressRecorder:
    """A Reporter that passes everything on to another one, and the progress to `set_progress` as well."""

    def __init__(self, reporter: Reporter, set_progress: Callable[[Progress], None]) -> None:
        self._reporter = reporter
        self._set_progress = set_progress

    def progress(self, step: str, done: list[int], total: int) -> None:
        self._set_progress(Progress(step, sum(done), total))
        self._reporter.progress(step, done, total)

    def message(self, text: str) -> None:
        self._reporter.message(text)
