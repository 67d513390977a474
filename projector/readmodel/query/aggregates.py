"""What is counted beside a page: facets, sums, and the intervals of a histogram. Pure."""

from collections.abc import Sequence
from typing import Any, cast

from msgspec import Struct

from projector.readmodel.schema.columns import SLICES

_SIGN = SLICES["total"] - 1
# How many times as many values are requested where the returned ones do not prove which values have most groups.
_MORE = 4


class Facet(Struct, frozen=True):
    """`is_open`: the filter on the field itself is left out."""

    field: str
    is_open: bool


class Aggregates(Struct, frozen=True):
    """`limit`: of the sellers, those with most groups. `sums`: of totals. `edges`: of a histogram, in milliseconds, the
    latest first; then `sums` are those of its intervals.
    """

    facets: tuple[Facet, ...] = ()
    limit: int = 20
    sums: bool = False
    edges: tuple[int, ...] = ()

    @property
    def are_wanted(self) -> bool:
        return bool(self.facets or self.sums or self.edges)


NONE = Aggregates()


class Sum(Struct, frozen=True):
    """Of the groups of one currency; None: of those with several, or with an order without any. In millionths."""

    currency: str | None
    sum: int
    count: int
    least: int
    greatest: int


# Values with their numbers of groups: by that, descending, then by value.
Values = Sequence[tuple[str, int]]


class Counted(Struct, frozen=True):
    """`facets` and `sums`: as wanted. `after`: the groups at or after the first edge; `intervals`: of those between two
    edges, from the first on, and `interval_sums` their sums: of as many as one call had time for.
    """

    facets: Sequence[Values] = ()
    sums: Sequence[Sum] = ()
    after: int = 0
    intervals: Sequence[int] = ()
    interval_sums: Sequence[Sequence[Sum]] = ()


def nothing(aggregates: Aggregates) -> Counted:
    """Returns what is counted where no group matches."""
    return Counted([()] * len(aggregates.facets))


class Counting:
    """`most` says how many sellers to ask each shard for, `take` takes the answers, both once a round.

    Each shard returns those with most groups in it, exactly, and says how many groups any other one has at most. That
    proves which ones have most in all, or not: then more are asked for, of a new snapshot. So a wrong guess costs a
    round, never a wrong count, as with pages.
    """

    def __init__(self, aggregates: Aggregates) -> None:
        self._aggregates = aggregates
        self._most = 0

    def most(self, shards: int) -> int:
        # Of several shards, some more: a seller need not be among the first in each.
        self._most = self._most or self._aggregates.limit * (1 if shards == 1 else 2)
        return self._most

    def take(self, replies: Sequence[Sequence[Any]]) -> Counted | None:
        """`replies`: as aggregates.lua has them. None: ask again."""
        wanted = self._aggregates
        found = []
        for number, facet in enumerate(wanted.facets):
            limit = wanted.limit if facet.field == "seller_id" else None
            values = _values([reply[0][number] for reply in replies], limit)
            if values is None:
                self._most *= _MORE
                return None
            found.append(values)
        if not wanted.edges:
            return Counted(found, _sums([reply[1] for reply in replies]))
        parts = [reply[2] for reply in replies]
        done = min(len(counts) for _, counts, _ in parts)
        return Counted(
            found,
            (),
            sum(after for after, _, _ in parts),
            [sum(counts[i] for _, counts, _ in parts) for i in range(done)],
            [_sums([sums[i] for _, _, sums in parts]) for i in range(done)] if wanted.sums else (),
        )


def _values(parts: Sequence[Sequence[Any]], limit: int | None) -> Values | None:
    """Returns the values of a facet; None where the parts do not show that these are they."""
    bounds = [cast(int, part[0]) for part in parts]
    most_unknown = sum(bounds)
    groups: dict[bytes, int] = {}
    # What a value may have at most in the shards that did not return it.
    missing: dict[bytes, int] = {}
    for bound, part in zip(bounds, parts, strict=True):
        for value, number in zip(part[1::2], part[2::2], strict=True):
            groups[value] = groups.get(value, 0) + int(number)
            missing[value] = missing.get(value, most_unknown) - bound
    # No filter accepts an empty value.
    groups.pop(b"", None)
    # UTF-8 sorts as its characters do.
    found = sorted(groups.items(), key=lambda one: (-one[1], one[0]))[:limit]
    if most_unknown and len(parts) > 1:
        least = found[-1][1] if len(found) == limit else 0
        chosen = {value for value, _ in found}
        if most_unknown >= least or any(missing[value] for value in chosen):
            return None
        if any(number + missing[value] >= least for value, number in groups.items() if missing[value]):
            return None
    return [(value.decode(), number) for value, number in found]


def _sums(parts: Sequence[Sequence[Sequence[Any]]]) -> list[Sum]:
    """`parts`: of each shard, as sums.lua has them. By currency, that of None last."""
    found: dict[bytes, Sum] = {}
    for currency, count, least, greatest, *slices in (one for part in parts for one in part):
        value = sum(_worth(k) * groups for k, groups in zip(slices[::2], slices[1::2], strict=True))
        ends = [int.from_bytes(end, "big", signed=True) for end in (least, greatest)]
        if other := found.get(currency):
            value, count = value + other.sum, count + other.count
            ends = [min(ends[0], other.least), max(ends[1], other.greatest)]
        found[currency] = Sum(currency.decode() or None, value, count, *ends)
    return [found[currency] for currency in sorted(found, key=lambda one: (not one, one))]


def _worth(k: int) -> int:
    """Returns what a bit of 1 in the k-th slice is worth, in two's complement."""
    return -(1 << k) if k == _SIGN else 1 << k
