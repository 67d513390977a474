"""Sets of integers, as the bounds at which membership changes: the result of all operators on one field."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

# Ascending. The set begins before the first bound, at it an interval begins, at the second that ends (exclusive), and
# so on; with an odd number of bounds the last interval has no end.
Bounds = tuple[int, ...]

# Below every column of the read model.
LOWEST = -(2**100)
ALL: Bounds = (LOWEST,)


def span(first: int, end: int) -> Bounds:
    """Returns the integers from `first` on, without `end`."""
    return (first, end) if first < end else ()


def union(spans: Iterable[Bounds]) -> Bounds:
    """Returns the union of spans that are equal or disjoint."""
    found: list[int] = []
    for one in sorted(set(spans)):
        if found and one and one[0] == found[-1]:
            found.pop()
            found.extend(one[1:])
        else:
            found.extend(one)
    return tuple(found)


def complement(bounds: Bounds) -> Bounds:
    return bounds[1:] if bounds[:1] == ALL else ALL + bounds


def intersect(left: Bounds, right: Bounds) -> Bounds:
    """Returns what both have in common, in O(len(left) + len(right)) but for sorting."""
    sides = sorted([(bound, 0) for bound in left] + [(bound, 1) for bound in right])
    inside, was_common = [False, False], False
    common: list[int] = []
    for i, (bound, side) in enumerate(sides):
        inside[side] = not inside[side]
        is_last = i + 1 == len(sides) or sides[i + 1][0] != bound
        if is_last and all(inside) != was_common:
            was_common = not was_common
            common.append(bound)
    return tuple(common)


def intervals(bounds: Sequence[int]) -> Iterator[tuple[int, int | None]]:
    """Yields first and last integer of each interval; None for one without an end."""
    for first, end in zip_longest(bounds[::2], bounds[1::2]):
        yield first, None if end is None else end - 1
