"""What a replay tells of itself while it is at work."""

from typing import Protocol


class Teller(Protocol):
    def progress(self, step: str, done: list[int], total: int) -> None:
        """`done`: events, or groups, of each worker; `total`: of all together. Called often."""

    def say(self, text: str) -> None: ...
