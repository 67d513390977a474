"""Chooses the script that answers a query; names the plan that the answer took. Pure."""

from enum import StrEnum

from msgspec import Struct

from projector.readmodel.query.fields import DEFAULT_FIELDS
from projector.readmodel.query.intervals import ALL, Bounds
from projector.readmodel.query.query import Query
from projector.readmodel.schema.keys import CREATED


class PlanTaken(StrEnum):
    """How a list was answered, cheapest first. Of several shards or calls, the most expensive one counts.

    NOTHING   no index was read: a filter matches nothing, or no generation is live
    RANK      the page was read by rank from one sorted set
    LOOK_UP   the groups of the smallest filter were looked up in the others
    MASKS     bitmaps of the filters were combined
    PREPARED  a mask was prepared in calls before the one that answered
    """

    NOTHING = "nothing"
    RANK = "rank"
    LOOK_UP = "look-up"
    MASKS = "masks"
    PREPARED = "prepared"


_CHEAPEST_FIRST = tuple(PlanTaken)


def costliest(plans: list[PlanTaken]) -> PlanTaken:
    return max(plans, key=_CHEAPEST_FIRST.index)


class Rank(Struct, frozen=True):
    """One sorted set is the answer: O(log n + page) at any offset, see rank.lua.

    `index`: its name without the prefix of the shard. `within`: of its scores, one interval.
    """

    index: str
    within: Bounds


class Combine(Struct, frozen=True):
    """Other filters or orders: combine.lua chooses between look-ups and masks.

    `rank`: of a list that one sorted set is, but for what is counted beside it.
    """

    rank: Rank | None = None


class Select(Struct, frozen=True):
    """All groups that match, instead of a page: combine.lua, with a bitmap for an answer. Suits any query."""


class Nothing(Struct, frozen=True):
    """A filter matches nothing, so the query matches nothing."""


Plan = Rank | Combine | Nothing

COST_MAX = 16
# Clauses of all filters for which masks are made in the call that answers, whatever the groups are.
CLAUSES_OF_MASKS = 20
_MASKS_COST = 4
_PLAN_COST: dict[type[Plan], int] = {Nothing: 1, Rank: 1, Combine: _MASKS_COST}
# A histogram has a mask for each of its intervals, in as many calls as they take.
HISTOGRAM_COST = COST_MAX


def plan(query: Query) -> Plan:
    if _is_empty(query):
        # An open facet leaves a filter out.
        return Combine() if any(facet.is_open for facet in query.aggregates.facets) else Nothing()
    found = _plan(query)
    return Combine(found) if isinstance(found, Rank) and query.aggregates.are_wanted else found


def _plan(query: Query) -> Rank | Combine:
    values, ranges = query.values, query.ranges
    if query.needle or query.ids is not None or query.sort != "created_at" or len(values) > 1 or len(ranges) > 1:
        return Combine()
    within = ALL
    if ranges:
        field, within = ranges[0]
        if field != "created_at" or len(within) > 2:
            return Combine()
    if not values:
        return Rank(CREATED, within)
    field, wanted = values[0]
    return Rank(f"of:{field}:{wanted[0]}", within) if len(wanted) == 1 else Combine()


def _is_empty(query: Query) -> bool:
    return query.ids == () or any(not wanted for _, wanted in query.values) or any(not b for _, b in query.ranges)


def cost(query: Query) -> int:
    """Returns about how much work the list is, for Redis and for the process that renders it, from 1 to COST_MAX.

    1 is the default list. It is known before anything is read, so it is that of the most expensive answer.
    """
    counted = _MASKS_COST * (len(query.aggregates.facets) + query.aggregates.sums)
    return min(_PLAN_COST[type(plan(query))] + _more_than_masks(query) + counted + _rows_cost(query), COST_MAX)


def selection_cost(query: Query) -> int:
    """Returns the cost of choosing all groups that match, as `cost`: a mask, whatever the query is."""
    return min(_MASKS_COST + _more_than_masks(query), COST_MAX)


def _more_than_masks(query: Query) -> int:
    """Of what may have to be prepared: a search, and filters of many clauses."""
    clauses = sum(len(wanted) for _, wanted in query.values) + sum(len(bounds) for _, bounds in query.ranges)
    return COST_MAX if query.needle or clauses > CLAUSES_OF_MASKS else 0


def _rows_cost(query: Query) -> int:
    """Rows are served as they are stored; documents are decoded and rendered, each for as long as some rows."""
    return query.limit // (200 if rows_suffice(query) else 25)


def rows_suffice(query: Query) -> bool:
    """Whether the query wants only default fields, which are stored as JSON."""
    return set(query.fields.group) <= set(DEFAULT_FIELDS)
