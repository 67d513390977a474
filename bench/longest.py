"""Lists that were made to be hard: in how many calls they are answered, and how long the longest takes.

Of this project alone; how many groups each must find is counted on the way to PostgreSQL, or by a look at every one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from bench.contest import Answer, Calls, Wrong, quantile, quantile_of_calls
from bench.hard import Hard
from bench.marketplace import Group

# At least so often is each asked for, if it may be, however long it takes.
REQUESTS_MIN = 5
Tell = Callable[[str], None]


class Took(Struct):
    """Milliseconds; `calls` of scripts in Redis for one list, `call_p99` of all of them. `longest_call` of all lists,
    and the median of each one's own.
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
    """Counts what each must find while somebody else goes through the groups."""

    def __init__(self, asked: Sequence[Hard]) -> None:
        self._asked = asked
        self.counts = dict.fromkeys((one.name for one in asked), 0)

    def over(self, made: Iterator[Group]) -> Iterator[Group]:
        for group in made:
            for one in self._asked:
                self.counts[one.name] += one.matches(group)
            yield group


def measured(
    asked: Asked, lists: Sequence[Hard], counts: Mapping[str, int], requests: int, seconds_max: float, tell: Tell
) -> list[Took]:
    """At most `requests` of each, and no more after `seconds_max`, but for a few. Raises Wrong."""
    found = []
    for one in lists:
        tell(f"made to be hard: {one.name}")
        asked.answer(one.query)
        seconds: list[float] = []
        calls: list[Calls] = []
        while len(seconds) < requests and (len(seconds) < REQUESTS_MIN or sum(seconds) < seconds_max):
            asked.begin()
            answer = asked.answer(one.query)
            if answer.count != counts[one.name]:
                raise Wrong(f"{one.name}: expected {counts[one.name]:,} groups, there are {answer.count:,}")
            seconds.append(answer.seconds)
            calls.append(asked.calls())
        longest = [some.longest for some in calls]
        found.append(
            Took(
                name=one.name,
                count=counts[one.name],
                requests=len(seconds),
                p50=_ms(quantile(seconds, 0.5)),
                p99=_ms(quantile(seconds, 0.99)),
                calls=round(sum(some.number for some in calls) / len(calls), 1),
                call_p99=_ms(quantile_of_calls(calls, 0.99)),
                longest_call_median=_ms(quantile(longest, 0.5)),
                longest_call=_ms(max(longest)),
            )
        )
    return found


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 3)
