"""Intervals against plain sets of numbers."""

from itertools import pairwise
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from projector.readmodel.query.intervals import FINITE, Intervals, above, all_but, below, intersect, of_integers, points

NUMBERS = [n / 2 for n in range(-12, 13)]
number = st.sampled_from(NUMBERS)
one_set = st.one_of(
    st.lists(number, max_size=4).map(points),
    st.lists(number, max_size=4).map(all_but),
    st.builds(lambda value, open_: above(value, open_=open_), number, st.booleans()),
    st.builds(lambda value, open_: below(value, open_=open_), number, st.booleans()),
)


def holds(intervals: Intervals, value: float) -> bool:
    return any(
        (lo < value or (lo == value and not lo_open)) and (value < hi or (value == hi and not hi_open))
        for lo, lo_open, hi, hi_open in intervals
    )


def members(intervals: Intervals) -> set[float]:
    return {value for value in NUMBERS if holds(intervals, value)}


def assert_normal(intervals: Intervals) -> None:
    for lo, lo_open, hi, hi_open in intervals:
        assert lo < hi or (lo == hi and not lo_open and not hi_open)
    for left, right in pairwise(intervals):
        assert left.hi < right.lo or (left.hi == right.lo and (left.hi_open or right.lo_open))


@given(st.lists(number))
def test_points_and_all_but(values: list[float]) -> None:
    assert members(points(values)) == set(values)
    assert members(all_but(values)) == set(NUMBERS) - set(values)
    assert_normal(points(values))
    assert_normal(all_but(values))


@given(number, st.booleans())
def test_half_lines(value: float, open_: bool) -> None:
    assert members(above(value, open_=open_)) == {n for n in NUMBERS if n > value or (n == value and not open_)}
    assert members(below(value, open_=open_)) == {n for n in NUMBERS if n < value or (n == value and not open_)}


@given(one_set, one_set, one_set)
def test_intersection(a: Intervals, b: Intervals, c: Intervals) -> None:
    common = intersect(intersect(a, b), c)
    assert members(common) == members(a) & members(b) & members(c)
    assert common == intersect(c, intersect(b, a))
    assert_normal(common)


@given(one_set, one_set)
def test_integers_keep_their_members_and_get_closed_ends(a: Intervals, b: Intervals) -> None:
    whole = {n for n in NUMBERS if n == int(n)}
    integers = intersect(a, b)
    if all(end in (inf, -inf) or end == int(end) for lo, _, hi, _ in integers for end in (lo, hi)):
        closed = of_integers(integers)
        assert members(closed) & whole == members(integers) & whole
        assert not any((lo_open and lo != -inf) or (hi_open and hi != inf) for lo, lo_open, hi, hi_open in closed)


def test_infinity_is_outside() -> None:
    assert not holds(FINITE, inf)
    for intervals in (all_but([1]), above(1, open_=False), below(1, open_=False)):
        assert not holds(intersect(FINITE, intervals), inf)
    assert above(inf, open_=False) == ()
