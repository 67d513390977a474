"""How a query is answered: which script, over which keys. Pure.

`scan`    one sorted set is the answer as it stands: O(log n + page) at any offset
`select`  filters are looked up in sets, or made bitmaps of: see select.lua
"""

from msgspec import Struct

from projector.readmodel.query.fields import DEFAULT_FIELDS
from projector.readmodel.query.intervals import Interval
from projector.readmodel.query.query import Query


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
