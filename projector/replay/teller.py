"""What a replay tells of itself while it is at work."""

from collections.abc import Callable
from typing import Protocol

from projector.readmodel.schema.generations import Progress


class Teller(Protocol):
    def progress(self, step: str, done: list[int], total: int) -> None:
        """`done`: events, or groups, of each worker; `total`: of all together. Called often."""

    def say(self, text: str) -> None: ...


class Telling:
    """A Teller that tells another one, and `tell` as well."""

    def __init__(self, teller: Teller, tell: Callable[[Progress], None]) -> None:
        self._teller = teller
        self._tell = tell

    def progress(self, step: str, done: list[int], total: int) -> None:
        self._tell(Progress(step, sum(done), total))
        self._teller.progress(step, done, total)

    def say(self, text: str) -> None:
        self._teller.say(text)
