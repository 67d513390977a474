"""How often the bench asks, and what it keeps of that."""

from collections.abc import Sequence

import pytest

from bench.contest import Answer, Calls, Contender, Contest, Wrong
from bench.shapes import Shape

SHAPE = Shape("all", {})


class Taking:
    """Says that each answer took so many seconds."""

    def __init__(self, name: str, seconds: float, page: str = "og_1") -> None:
        self.name = name
        self._seconds = seconds
        self._page = page
        self.asked = self._since = 0

    def shapes(self, shapes: Sequence[Shape]) -> Sequence[Shape]:
        return shapes

    def begin(self) -> None:
        self._since = self.asked

    def ask(self, shape: Shape) -> Answer:
        self.asked += 1
        return Answer(self._seconds, 1, (self._page,))

    def calls(self) -> Calls:
        return Calls(self.asked - self._since, [], 0.0)


def contest(*contenders: Contender) -> Contest:
    return Contest(contenders, [SHAPE], {"all": 1}, requests=6, seconds=2.0, rounds=3)


def test_what_is_quick_is_asked_in_all_rounds() -> None:
    quick = Taking("quick", 0.001)
    samples = contest(quick).run(lambda _: None)["quick", "all"]
    assert quick.asked == 1 + 6
    assert samples.seconds == [0.001] * 6
    assert [calls.number for calls in samples.calls] == [2, 2, 2]


def test_what_takes_longer_than_its_time_is_asked_once() -> None:
    slow, quick = Taking("slow", 2.5), Taking("quick", 0.001)
    results = contest(slow, quick).run(lambda _: None)
    assert slow.asked == 1
    assert results["slow", "all"].seconds == [2.5]
    assert [calls.number for calls in results["slow", "all"].calls] == [1]
    assert len(results["quick", "all"].seconds) == 6


def test_different_pages_are_wrong() -> None:
    with pytest.raises(Wrong, match="one and other have different pages"):
        contest(Taking("one", 0.001), Taking("other", 0.001, "og_2")).run(lambda _: None)
