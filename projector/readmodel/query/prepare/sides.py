"""The filters of a query, each as select.lua numbers them and sides.lua takes them apart. Pure."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import inf
from typing import NamedTuple

import msgspec

from projector.readmodel.client.batches import Command
from projector.readmodel.query.intervals import Interval, Intervals
from projector.readmodel.query.lua.scripts import GATHER
from projector.readmodel.query.query import Query
from projector.readmodel.schema.keys import Keys

# Keys before those of the filters: see `first_keys`.
FIRST_KEYS = 5
# Pieces that one call of gather.lua is told of: it gets no further.
PIECES_TOLD = 100
# Ids that one call is told of: about as many as it would look up members.
IDS_TOLD = 400
# No order, and no part of a list: see window.lua.
_NO_LIST = ("0", "0", "0", "0", "0", "0")
_NOTHING: Mapping[str, object] = {"ids": (), "by_id": False, "values": (), "ranges": (), "tells": False}


class Pieces(NamedTuple):
    """Of a filter by intervals. Where `$ne` and `$nin` leave something out, that is less to look up than the rest."""

    intervals: Sequence[Interval]
    left_out: bool


class Side(NamedTuple):
    """`gather`: the call of gather.lua for the pieces from one on, of which the first has the number 0. `left_out`: the
    last piece is the whole, of which the others are left out.
    """

    pieces: int
    gather: Callable[[Keys, int], Command]
    left_out: bool = False


def sides(query: Query, limits: Mapping[str, object]) -> list[Side]:
    """`limits`: arguments of gather.lua."""
    ranges = [_of_range(field, intervals, limits) for field, intervals in query.ranges]
    values = [_of_values(field, wanted, limits) for field, wanted in query.values]
    return [*ranges, *values, *([] if query.ids is None else [_of_ids(query.ids, limits)])]


def first_keys(keys: Keys, sort: str) -> tuple[str, ...]:
    return (keys.row, keys.rest, keys.text, keys.by("id"), keys.by(sort))


def pieces_of(intervals: Intervals) -> Pieces:
    left_out = [
        Interval(before.hi, not before.hi_open, after.lo, not after.lo_open) for before, after in pairwise(intervals)
    ]
    is_list = all(interval.lo == interval.hi for interval in intervals)
    return Pieces(intervals, left_out=False) if is_list or not left_out else Pieces(left_out, left_out=True)


def bounds(interval: Interval) -> tuple[str, str]:
    """As ZCOUNT takes them. `repr` of a float reads back as the same double."""
    return _bound(interval.lo, interval.lo_open), _bound(interval.hi, interval.hi_open)


def _of_range(field: str, intervals: Intervals, limits: Mapping[str, object]) -> Side:
    found, left_out = pieces_of(intervals)
    pieces = [bounds(interval) for interval in found]
    whole = [(bounds(intervals[0])[0], bounds(intervals[-1])[1])] if left_out else []

    def gather(keys: Keys, first: int) -> Command:
        told = pieces[first : first + PIECES_TOLD] or whole
        one = {"key": FIRST_KEYS + 1, "sorted": False, "bounds": told, "pieces": told}
        return _command(keys, [keys.by(field)], {**limits, "ranges": [one]})

    return Side(len(pieces) + len(whole), gather, left_out)


def _of_values(field: str, wanted: Sequence[str], limits: Mapping[str, object]) -> Side:
    def gather(keys: Keys, first: int) -> Command:
        sets = [keys.of(field, value) for value in wanted[first : first + PIECES_TOLD]]
        numbers = list(range(FIRST_KEYS + 1, FIRST_KEYS + 1 + len(sets)))
        return _command(keys, sets, {**limits, "values": [numbers]})

    return Side(len(wanted), gather)


def _of_ids(ids: Sequence[str], limits: Mapping[str, object]) -> Side:
    """All ids of a call are one piece."""
    pieces = [ids[start : start + IDS_TOLD] for start in range(0, len(ids), IDS_TOLD)]

    def gather(keys: Keys, first: int) -> Command:
        return _command(keys, [], {**limits, "ids": pieces[first], "by_id": True})

    return Side(len(pieces), gather)


def _command(keys: Keys, filtered: Sequence[str], arguments: Mapping[str, object]) -> Command:
    names = (*first_keys(keys, "id"), *filtered, keys.position)
    told = msgspec.msgpack.encode({**_NOTHING, **arguments})
    return GATHER.call(keys, names, *_NO_LIST, told)


def _bound(value: float, is_open: bool) -> str:
    text = {inf: "+inf", -inf: "-inf"}.get(value) or repr(value)
    return "(" + text if is_open else text
