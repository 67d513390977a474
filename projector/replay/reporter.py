"""What a replay tells of itself while it is at work."""

from collections.abc import Callable
from typing import Protocol

from projector.readmodel.schema.generations import Progress


class Reporter(Protocol):
    def progress(self, step: str, done: list[int], total: int) -> None:
        """`done`: events, or groups, of each worker; `total`: of all together. Called often."""

    def say(self, text: str) -> None: ...


class Reporting:
    """A Reporter that tells another one, and `tell` as well."""

    def __init__(self, reporter: Reporter, tell: Callable[[Progress], None]) -> None:
        self._reporter = reporter
        self._tell = tell

    def progress(self, step: str, done: list[int], total: int) -> None:
        self._tell(Progress(step, sum(done), total))
        self._reporter.progress(step, done, total)

    def say(self, text: str) -> None:
        self._reporter.say(text)
