"""Histograms of created_at: where the intervals begin, and how they are counted, some in each call."""

from collections.abc import Iterable, Sequence
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, timedelta
from enum import StrEnum
from itertools import count, islice, takewhile

import msgspec
from msgspec import Struct

from projector.readmodel.client.errors import Unavailable
from projector.readmodel.query.aggregates import Aggregates, Sum
from projector.readmodel.query.engine import Engine
from projector.readmodel.query.positions import Positions, Snapshot, combined
from projector.readmodel.query.query import Query

INTERVALS_MAX = 62
# How often a histogram begins again because the newest group was not the newest any more.
ATTEMPTS_MAX = 8

_DAY_MS = 86_400_000
# Days are counted from the epoch, those of `date` from the first of January of the year 1.
_EPOCH = date(1970, 1, 1).toordinal()
_FIRST = date.min.toordinal() - _EPOCH


class Unit(StrEnum):
    """Days, weeks from Monday on, and months, in UTC."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Interval(Struct, frozen=True):
    """`start`: Unix milliseconds. `sums`: empty if they are not wanted."""

    start: int
    count: int
    sums: Sequence[Sum]


class Histogram(Struct, frozen=True):
    """Consecutive intervals, of which the last one has the newest group. `earlier`: groups before the first one.

    Each interval is exact in one snapshot. `snapshot`: at least what all of them reflect.
    """

    intervals: Sequence[Interval]
    earlier: int
    snapshot: Snapshot

    @property
    def positions(self) -> Positions:
        return self.snapshot.positions

    @property
    def count(self) -> int:
        return self.earlier + sum(interval.count for interval in self.intervals)


class _Row(Struct):
    created_at: str


_row = msgspec.json.Decoder(_Row)


async def histogram(engine: Engine, query: Query, unit: Unit, *, sums: bool) -> Histogram:
    """`query`: the filters; what else it has is not used. Raises Unavailable, ReadModelFault and TooMuch."""
    base = msgspec.structs.replace(query, offset=0, sort="created_at", descending=True, aggregates=Aggregates())
    for _ in range(ATTEMPTS_MAX):
        newest = await engine.list(msgspec.structs.replace(base, limit=1))
        if not newest.rows:
            return Histogram((), 0, newest.snapshot)
        time = datetime.fromisoformat(_row.decode(newest.rows[0]).created_at)
        newest_ms = (time - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)
        found = await _counted(engine, base, edges(unit, newest_ms), sums=sums)
        if found is not None:
            return found
    raise Unavailable(f"the newest group was another one {ATTEMPTS_MAX} times")


async def _counted(engine: Engine, base: Query, found: Sequence[int], *, sums: bool) -> Histogram | None:
    """`found`: the edges, the latest first. Returns None if the newest group is not between the first two."""
    intervals: list[Interval] = []
    snapshots: list[Snapshot] = []
    earlier = 0
    while len(intervals) < len(found) - 1:
        left = tuple(found[len(intervals) :])
        asked = msgspec.structs.replace(base, limit=0, aggregates=Aggregates(edges=left, sums=sums))
        answer = await engine.list(asked)
        counted = answer.counted
        if not intervals and (not counted.intervals or counted.after or not counted.intervals[0]):
            return None
        for number, groups in enumerate(counted.intervals):
            of_interval = counted.interval_sums[number] if sums else ()
            intervals.append(Interval(left[number + 1], groups, of_interval))
        snapshots.append(answer.snapshot)
        if snapshots[0].generation != answer.snapshot.generation:
            return None
        earlier = answer.count - counted.after - sum(counted.intervals)
    while not earlier and not intervals[-1].count:
        intervals.pop()
    return Histogram(intervals[::-1], earlier, combined(snapshots))


def edges(unit: Unit, newest_ms: int) -> list[int]:
    """Returns where the intervals begin that end with the one of `newest_ms`, and before these where that ends: the
    latest first, in Unix milliseconds. None is before the year 1.
    """
    day = newest_ms // _DAY_MS
    match unit:
        case Unit.DAY:
            starts: Iterable[int] = count(day + 1, -1)
        case Unit.WEEK:
            # The epoch was a Thursday.
            starts = count(day - (day + 3) % 7 + 7, -7)
        case Unit.MONTH:
            time = date.fromordinal(day + _EPOCH)
            starts = map(_month, count(12 * time.year + time.month, -1))
    return [start * _DAY_MS for start in takewhile(lambda start: start >= _FIRST, islice(starts, INTERVALS_MAX + 1))]


def _month(number: int) -> int:
    """Returns the day on which a month begins. `number`: 12 times its year, and from 0 on its number in that."""
    year, month = divmod(number, 12)
    if year > MAXYEAR:
        return date.max.toordinal() + 1 - _EPOCH
    # Before the year 1, any day that is before it.
    return date(year, month + 1, 1).toordinal() - _EPOCH if year >= MINYEAR else _FIRST - 1


def start_text(start_ms: int) -> str:
    """Returns where an interval begins, as responses show times."""
    return f"{date.fromordinal(start_ms // _DAY_MS + _EPOCH).isoformat()}T00:00:00.000Z"
