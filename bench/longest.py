"""Adversarial queries: how many calls each takes, and how long the longest takes.

Only this project is measured. The expected counts are taken while the groups are loaded into PostgreSQL, or by a pass
over all of them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from bench.contest import Answer, Calls, Refused, Wrong, quantile, quantile_of_calls
from bench.hard import Hard
from bench.marketplace import Group

# Each query is sent at least so often, unless `requests` is lower.
REQUESTS_MIN = 5
Progress = Callable[[str], None]


class Took(Struct):
    """Milliseconds. `calls`: script calls in Redis per list, on average. `call_p99`: of single calls. Of the longest
    call of each list, `longest_call` is the maximum and `longest_call_median` the median.
    """

    name: str
    count: int
    requests: int
    p50: float
    p99: float
    calls: float
    call_p99: float
    longest_call_median: float
    longest_call: float


class Asked(Protocol):
    def answer(self, query: str) -> Answer: ...

    def begin(self) -> None: ...

    def calls(self) -> Calls:
        """Since `begin`."""


class Tally:
    """Counts the groups that each query must find, while they are iterated for another purpose."""

    def __init__(self, asked: Sequence[Hard]) -> None:
        self._asked = asked
        self.counts = dict.fromkeys((one.name for one in asked), 0)

    def over(self, made: Iterator[Group]) -> Iterator[Group]:
        for group in made:
            for one in self._asked:
                self.counts[one.name] += one.matches(group)
            yield group


def measured(
    asked: Asked,
    lists: Sequence[Hard],
    counts: Mapping[str, int],
    requests: int,
    seconds_max: float,
    progress: Progress,
) -> list[Took]:
    """Sends each query at most `requests` times, at least REQUESTS_MIN, until `seconds_max` is over. Raises Wrong.

    A query that is refused, as searches of ten million texts may be, is printed and left out.
    """
    found = []
    for one in lists:
        progress(f"adversarial: {one.name}")
        try:
            found.append(_took(asked, one, counts[one.name], requests, seconds_max))
        except Refused as refused:
            print(f"{one.name}: {refused}")
    return found


def _took(asked: Asked, one: Hard, count: int, requests: int, seconds_max: float) -> Took:
    asked.answer(one.query)
    seconds: list[float] = []
    calls: list[Calls] = []
    while len(seconds) < requests and (len(seconds) < REQUESTS_MIN or sum(seconds) < seconds_max):
        asked.begin()
        answer = asked.answer(one.query)
        if answer.count != count:
            raise Wrong(f"{one.name}: expected {count:,} groups, there are {answer.count:,}")
        seconds.append(answer.seconds)
        calls.append(asked.calls())
    longest = [some.longest for some in calls]
    return Took(
        name=one.name,
        count=count,
        requests=len(seconds),
        p50=_ms(quantile(seconds, 0.5)),
        p99=_ms(quantile(seconds, 0.99)),
        calls=round(sum(some.number for some in calls) / len(calls), 1),
        call_p99=_ms(quantile_of_calls(calls, 0.99)),
        longest_call_median=_ms(quantile(longest, 0.5)),
        longest_call=_ms(max(longest)),
    )


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 3)
