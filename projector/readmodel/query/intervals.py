"""Sets of numbers as sorted, disjoint intervals: the result of all operators on one field."""

from collections.abc import Iterable, Sequence
from math import inf
from typing import NamedTuple


class Interval(NamedTuple):
    """From `lo` to `hi`; an open end is not included. Never empty."""

    lo: float
    lo_open: bool
    hi: float
    hi_open: bool


Intervals = tuple[Interval, ...]

# All finite numbers. The upper end is open because groups without a `display_id` have the score +inf.
FINITE: Intervals = (Interval(-inf, False, inf, True),)


def points(values: Iterable[float]) -> Intervals:
    return tuple(Interval(value, False, value, False) for value in sorted(set(values)))


def all_but(values: Iterable[float]) -> Intervals:
    """Returns FINITE without these values, which must be finite."""
    lo, lo_open = -inf, False
    intervals = []
    for value in sorted(set(values)):
        intervals.append(Interval(lo, lo_open, value, True))
        lo, lo_open = value, True
    return (*intervals, Interval(lo, lo_open, inf, True))


def above(value: float, *, open_: bool) -> Intervals:
    return _unless_empty(Interval(value, open_, inf, True))


def below(value: float, *, open_: bool) -> Intervals:
    return intersect(FINITE, _unless_empty(Interval(-inf, False, value, open_)))


def intersect(left: Sequence[Interval], right: Sequence[Interval]) -> Intervals:
    """Returns what both have in common, in O(len(left) + len(right))."""
    common: list[Interval] = []
    i = j = 0
    while i < len(left) and j < len(right):
        a, b = left[i], right[j]
        # The later start and the earlier end; of two equal ends the open one is narrower.
        lo, lo_open = max((a.lo, a.lo_open), (b.lo, b.lo_open))
        hi, hi_closed = min((a.hi, not a.hi_open), (b.hi, not b.hi_open))
        common.extend(_unless_empty(Interval(lo, lo_open, hi, not hi_closed)))
        if (a.hi, not a.hi_open) < (b.hi, not b.hi_open):
            i += 1
        else:
            j += 1
    return tuple(common)


def of_integers(intervals: Iterable[Interval]) -> Intervals:
    """Returns the same set of integers, with closed ends where they are finite."""
    closed = []
    for lo, lo_open, hi, hi_open in intervals:
        first = lo + 1 if lo_open and lo != -inf else lo
        last = hi - 1 if hi_open and hi != inf else hi
        if first <= last:
            closed.append(Interval(first, False, last, last == inf))
    return tuple(closed)


def _unless_empty(interval: Interval) -> Intervals:
    lo, lo_open, hi, hi_open = interval
    if lo < hi or (lo == hi and not lo_open and not hi_open):
        return (interval,)
    return ()
