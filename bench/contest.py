"""Measures several servers with the same lists, in turns, so that noise affects all alike."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Protocol

from bench.shapes import Shape


@dataclass(frozen=True)
class Answer:
    """`ids`: of the page, in order, and what is counted beside it; None if ties may come in any order. `parts`: name ->
    seconds.
    """

    seconds: float
    count: int
    ids: tuple[str, ...] | None
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Calls:
    """Calls in Redis. `number`: of scripts. `noted`: seconds of those scripts that are in the slow log. `longest`: of
    all commands, in seconds; 0 if the slow log is empty.
    """

    number: int
    noted: Sequence[float]
    longest: float


class Refused(Exception):
    """A request without an answer; the text has the reason."""


class Wrong(Exception):
    """An answer is wrong, so its time is meaningless."""


class Contender(Protocol):
    name: str

    def shapes(self, shapes: Sequence[Shape]) -> Sequence[Shape]:
        """Returns those that it supports."""

    def begin(self) -> None:
        """Called before some requests for one shape."""

    def ask(self, shape: Shape) -> Answer:
        """Raises Refused."""

    def calls(self) -> Calls | None:
        """Returns the calls since `begin`; None if they are unknown."""


@dataclass
class Samples:
    """Seconds of each request. `calls`: in Redis, for each series of requests."""

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
    """`counts`: shape -> expected count. Each contender gets at most `requests` requests of a shape, for about
    `seconds`, after one to warm up and to compare the pages; if that takes longer than `seconds`, it is the only one.
    `beside` is called after each series.
    """

    contenders: Sequence[Contender]
    shapes: Sequence[Shape]
    counts: Mapping[str, int]
    requests: int
    seconds: float
    rounds: int
    beside: Callable[[], None] = lambda: None

    def run(self, progress: Callable[[str], None]) -> Results:
        """Returns (contender, shape) -> samples. Raises Wrong."""
        pairs = [(one, shape) for shape in self.shapes for one in self.contenders if shape in one.shapes(self.shapes)]
        results: Results = {(one.name, shape.name): Samples() for one, shape in pairs}
        for shape in self.shapes:
            progress(f"warming up, and comparing: {shape.name}")
            self._compare(shape, [one for one, asked in pairs if asked == shape], results)
        for number in range(1, self.rounds + 1):
            for one, shape in pairs:
                progress(f"round {number} of {self.rounds}: {shape.name}, {one.name}")
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
    """Returns the smallest value that at least that share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def quantile_of_calls(calls: Sequence[Calls], share: float) -> float:
    """Like `quantile`; 0 for calls that are not in the slow log."""
    noted = sorted((seconds for some in calls for seconds in some.noted), reverse=True)
    number = sum(some.number for some in calls)
    longer = number - ceil(share * number)
    return noted[longer] if longer < len(noted) else 0.0
