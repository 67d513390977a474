"""How a query is answered: which script, over which keys. Pure.

`scan`    one sorted set is the answer as it stands: O(log n + page) at any offset
`select`  some filter's members are listed, the others are probed, what is left is sorted
"""

from math import inf

import msgspec
from msgspec import Struct

from api.fields import DEFAULT_FIELDS
from api.intervals import Interval
from api.query import Query
from projector.readmodel.keys import Keys

# Lua's numbers are doubles; no list is longer.
OFFSET_MAX = 2**53


class Scan(Struct, frozen=True):
    """`index` names a sorted set: `by` a sort field, or `of` a field and a value. `within` bounds its scores.

    `rotated`: the members with the score +inf come last, although the order is descending.
    """

    by: str | None
    of: tuple[str, str] | None
    within: Interval | None
    rotated: bool

    name = "scan"


class Select(Struct, frozen=True):
    name = "select"


class Nothing(Struct, frozen=True):
    """Some filter matches nothing, hence so does the query."""

    name = "nothing"


Plan = Scan | Select | Nothing


def plan(query: Query) -> Plan:
    if _is_empty(query):
        return Nothing()
    if query.needle or query.ids is not None or len(query.values) > 1 or len(query.ranges) > 1:
        return Select()
    within = None
    if query.ranges:
        field, intervals = query.ranges[0]
        if field != query.sort or len(intervals) > 1:
            return Select()
        within = intervals[0]
    if not query.values:
        rotated = query.sort == "display_id" and query.descending and within is None
        return Scan(query.sort, None, within, rotated)
    field_of, wanted = query.values[0]
    if query.sort != "created_at" or len(wanted) > 1:
        return Select()
    return Scan(None, (field_of, wanted[0]), within, False)


def _is_empty(query: Query) -> bool:
    return query.ids == () or any(not wanted for _, wanted in query.values) or any(not i for _, i in query.ranges)


def heads_suffice(query: Query) -> bool:
    """The default fields are stored on their own, so that most lists need no more."""
    return query.fields.group == DEFAULT_FIELDS


def scan_call(scan: Scan, query: Query, keys: Keys) -> tuple[list[str], list[str | bytes]]:
    """KEYS and ARGV of scan.lua."""
    index = keys.by(scan.by) if scan.by is not None else keys.of(*scan.of or ("", ""))
    lo, hi = ("-inf", "+inf") if scan.within is None else bounds(scan.within)
    flags = [_flag(query.descending), _flag(scan.rotated), _flag(heads_suffice(query))]
    return [keys.row, keys.rest, index], [lo, hi, *flags, str(_offset(query)), str(query.limit)]


def select_call(query: Query, keys: Keys) -> tuple[list[str], list[str | bytes]]:
    """KEYS and ARGV of select.lua: one msgpack map, which names keys by their number in KEYS."""
    names = [keys.row, keys.rest, keys.text, keys.by("id"), keys.by(query.sort)]

    def number(name: str) -> int:
        names.append(name)
        return len(names)

    arguments = {
        "descending": query.descending,
        "rotated": query.sort == "display_id" and query.descending,
        "heads": heads_suffice(query),
        "offset": _offset(query),
        "limit": query.limit,
        "needle": query.needle,
        "ids": query.ids or (),
        "by_id": query.ids is not None,
        "values": [[number(keys.of(field, value)) for value in wanted] for field, wanted in query.values],
        "ranges": [
            {"key": number(keys.by(field)), "sorted": field == query.sort, "bounds": [bounds(i) for i in intervals]}
            for field, intervals in query.ranges
        ],
        "by_created": query.sort == "created_at",
    }
    return names, [msgspec.msgpack.encode(arguments)]


def bounds(interval: Interval) -> tuple[str, str]:
    """As ZCOUNT takes them. `repr` of a float reads back as the same double."""
    return _bound(interval.lo, interval.lo_open), _bound(interval.hi, interval.hi_open)


def _bound(value: float, is_open: bool) -> str:
    text = {inf: "+inf", -inf: "-inf"}.get(value) or repr(value)
    return "(" + text if is_open else text


def _flag(value: bool) -> str:
    return "1" if value else "0"


def _offset(query: Query) -> int:
    return min(query.offset, OFFSET_MAX)
