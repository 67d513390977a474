"""Asks several servers for the same lists by turns, and keeps what each took: noise hits all alike."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Protocol

from bench.shapes import Shape


@dataclass(frozen=True)
class Answer:
    """`ids`: of the page, in its order; None where equal ones may stand in another. `parts`: what took how long."""

    seconds: float
    count: int
    ids: tuple[str, ...] | None
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Calls:
    """In Redis. Of scripts: how many, and the seconds of those that took long enough for Redis to note them. `longest`:
    of all commands, in seconds; 0 where none was noted.
    """

    number: int
    noted: Sequence[float]
    longest: float


class Refused(Exception):
    """It was not answered; the text says how."""


class Wrong(Exception):
    """What this takes is worth nothing."""


class Contender(Protocol):
    name: str

    def shapes(self, shapes: Sequence[Shape]) -> Sequence[Shape]:
        """Those that it can be asked for."""

    def begin(self) -> None:
        """Before some requests for one shape."""

    def ask(self, shape: Shape) -> Answer:
        """Raises Refused."""

    def calls(self) -> Calls | None:
        """Since `begin`; None where that cannot be told."""


@dataclass
class Samples:
    """Seconds of each request. `calls`: inside, for each time that some were asked."""

    seconds: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=dict)
    calls: list[Calls] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    spent_s: float = 0.0

    def add(self, answer: Answer) -> None:
        self.seconds.append(answer.seconds)
        for name, seconds in answer.parts.items():
            self.parts.setdefault(name, []).append(seconds)

    def see(self, calls: Calls | None) -> None:
        if calls is not None:
            self.calls.append(calls)


Results = dict[tuple[str, str], Samples]


@dataclass(frozen=True)
class Contest:
    """`counts`: what each shape must find. At most `requests` of a shape and contender, and about `seconds` of them,
    after one to warm up and to compare the pages; where that takes longer than `seconds`, it is the only one. `beside`:
    called again and again between them.
    """

    contenders: Sequence[Contender]
    shapes: Sequence[Shape]
    counts: Mapping[str, int]
    requests: int
    seconds: float
    rounds: int
    beside: Callable[[], None] = lambda: None

    def run(self, tell: Callable[[str], None]) -> Results:
        """(contender, shape) -> what it took. Raises Wrong."""
        pairs = [(one, shape) for shape in self.shapes for one in self.contenders if shape in one.shapes(self.shapes)]
        results: Results = {(one.name, shape.name): Samples() for one, shape in pairs}
        for shape in self.shapes:
            tell(f"warming up, and comparing: {shape.name}")
            self._compare(shape, [one for one, asked in pairs if asked == shape], results)
        for number in range(1, self.rounds + 1):
            for one, shape in pairs:
                tell(f"round {number} of {self.rounds}: {shape.name}, {one.name}")
                self._some(one, shape, results[one.name, shape.name])
                self.beside()
        return results

    def _compare(self, shape: Shape, asked: Sequence[Contender], results: Results) -> None:
        pages: dict[tuple[str, ...], str] = {}
        for one in asked:
            one.begin()
            try:
                answer = self._asked(one, shape)
            except Refused:
                continue
            if answer.ids is not None:
                pages[answer.ids] = one.name
            if answer.seconds > self.seconds:
                samples = results[one.name, shape.name]
                samples.add(answer)
                samples.see(one.calls())
                samples.spent_s = answer.seconds
        if len(pages) > 1:
            raise Wrong(f"{shape.name}: {' and '.join(pages.values())} have different pages")

    def _some(self, one: Contender, shape: Shape, samples: Samples) -> None:
        until_s = time.perf_counter() + self.seconds / self.rounds
        one.begin()
        asked = 0
        while asked < max(1, self.requests // self.rounds):
            if samples.spent_s >= self.seconds or (asked and time.perf_counter() > until_s):
                break
            started_s = time.perf_counter()
            try:
                samples.add(self._asked(one, shape))
            except Refused as refused:
                samples.refused.append(str(refused))
            samples.spent_s += time.perf_counter() - started_s
            asked += 1
        if asked:
            samples.see(one.calls())

    def _asked(self, one: Contender, shape: Shape) -> Answer:
        answer = one.ask(shape)
        if answer.count != self.counts[shape.name]:
            raise Wrong(f"{shape.name}: expected {self.counts[shape.name]:,} groups, {one.name} has {answer.count:,}")
        return answer


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least that share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def quantile_of_calls(calls: Sequence[Calls], share: float) -> float:
    """Likewise; 0 for what Redis did not note."""
    noted = sorted((seconds for some in calls for seconds in some.noted), reverse=True)
    number = sum(some.number for some in calls)
    longer = number - ceil(share * number)
    return noted[longer] if longer < len(noted) else 0.0
