"""Chooses the script that answers a query, and its keys; names the plan that the answer took. Pure."""

from enum import StrEnum

from msgspec import Struct

from projector.readmodel.query.fields import DEFAULT_FIELDS
from projector.readmodel.query.intervals import Interval
from projector.readmodel.query.query import Query


class PlanTaken(StrEnum):
    """How a list was answered, cheapest first. Of several shards or calls, the most expensive one counts.

    NOTHING   no index was read: a filter matches nothing, or no generation is live
    RANK      the page was read by rank from one sorted set
    LOOK_UP   groups of the smallest filter, or in the order of the list, were looked up in the sets of the filters
    MASKS     bitmaps of the filters were combined
    PREPARED  a mask was prepared in calls before the one that answered
    """

    NOTHING = "nothing"
    RANK = "rank"
    LOOK_UP = "look-up"
    MASKS = "masks"
    PREPARED = "prepared"


_CHEAPEST_FIRST = tuple(PlanTaken)


def costlier(left: PlanTaken, right: PlanTaken) -> PlanTaken:
    return max(left, right, key=_CHEAPEST_FIRST.index)


class Scan(Struct, frozen=True):
    """One sorted set is the answer: O(log n + page) at any offset, see scan.lua.

    The set is that of a sort field (`by`), or of a field and a value (`of`). `within` bounds its scores.
    `rotated`: the members with the score +inf come last, although the order is descending.
    """

    by: str | None
    of: tuple[str, str] | None
    within: Interval | None
    rotated: bool


class Select(Struct, frozen=True):
    """Several filters, values or intervals: select.lua chooses between look-ups and masks."""


class Nothing(Struct, frozen=True):
    """A filter matches nothing, so the query matches nothing."""


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
    """Whether the query wants only the default fields, which are stored separately."""
    return query.fields.group == DEFAULT_FIELDS
