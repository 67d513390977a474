"""Sets of integers against plain sets."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from projector.readmodel.query.intervals import ALL, LOWEST, Bounds, complement, intersect, intervals, span, union

NUMBERS = range(-12, 13)
number = st.sampled_from(NUMBERS)
points = st.lists(number, max_size=6).map(lambda values: union(span(value, value + 1) for value in values))
one_set = st.one_of(
    points,
    points.map(complement),
    st.builds(span, number, number),
    number.map(lambda first: (first,)),
    number.map(lambda end: span(LOWEST, end)),
)


def members(bounds: Bounds) -> set[int]:
    return {value for value in NUMBERS if sum(bound <= value for bound in bounds) % 2}


def assert_normal(bounds: Bounds) -> None:
    assert all(left < right for left, right in pairwise(bounds))


@given(st.lists(number))
def test_points_and_all_but(values: list[int]) -> None:
    found = union(span(value, value + 1) for value in values)
    assert members(found) == set(values)
    assert members(complement(found)) == set(NUMBERS) - set(values)
    assert complement(complement(found)) == found
    assert_normal(found)


@given(number, number)
def test_spans(first: int, end: int) -> None:
    assert members(span(first, end)) == set(range(first, end))
    assert members((first,)) == {n for n in NUMBERS if n >= first}
    assert members(span(LOWEST, end)) == {n for n in NUMBERS if n < end}


@given(one_set, one_set, one_set)
def test_intersection(a: Bounds, b: Bounds, c: Bounds) -> None:
    common = intersect(intersect(a, b), c)
    assert members(common) == members(a) & members(b) & members(c)
    assert common == intersect(c, intersect(b, a))
    assert_normal(common)


@given(one_set)
def test_intervals(bounds: Bounds) -> None:
    found = [
        value
        for first, last in intervals(bounds)
        for value in NUMBERS
        if first <= value and (last is None or value <= last)
    ]
    assert found == sorted(members(bounds))


def test_the_whole() -> None:
    assert members(ALL) == set(NUMBERS)
    assert members(()) == set()
    assert intersect(ALL, ALL) == ALL
    assert complement(ALL) == ()
