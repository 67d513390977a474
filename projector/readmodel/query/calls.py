"""The script calls that answer a query: the same for every shard, but for the names of the keys. Pure."""

from collections.abc import Iterator, Sequence
from math import inf
from typing import NamedTuple, NotRequired, TypedDict

import msgspec
from msgspec import Struct, structs

from projector.readmodel.client.batches import Command
from projector.readmodel.client.script import Script
from projector.readmodel.query.intervals import LOWEST, Bounds, intervals
from projector.readmodel.query.lua.scripts import COMBINE, PREPARE, RANK, SELECT
from projector.readmodel.query.mirror.shard import Found
from projector.readmodel.query.plan import Combine, Rank, Select
from projector.readmodel.query.query import Query
from projector.readmodel.schema.columns import SLICES
from projector.readmodel.schema.keys import Keys

# Lua's numbers are doubles; no list is longer.
OFFSET_MAX = 2**53
# A filter with at most as many members in a shard is read member by member; with more, bitmaps are faster.
FEW_MEMBERS = 400
# Groups times sets in which they are looked up: with more, a bitmap is made of the sets.
LOOK_UPS = 10_000
# Groups that are checked in the order of created_at on the way to a page, if it is likely to be among them.
WALKED_GROUPS = 600
# Groups, beyond those of the page, that are listed and sorted once slices have narrowed it down.
LISTED_GROUPS = 64
# Work for masks that the answering call may do, in members that are set one by one, each a microsecond or two. If there
# is more, earlier calls prepare the masks, each with as much work.
WORK_AT_ONCE = 4_000
WORK_OF_A_CALL = 4_000
# Values of a field, if all are counted.
VALUES_MAX = 1_000
# Groups whose sellers are counted by their rows: within the call that answers, some microseconds each, and in calls
# before it, if it takes too long by values.
ROWS_AT_ONCE, ROWS_MAX = 1_000, 150_000
# What counting may take, in members as above: sellers by values; another field; a call for a histogram; sums. More is
# refused.
SELLERS_WORK, FACET_WORK, HISTOGRAM_WORK, SUM_WORK = 6_000, 12_000, 4_000, 60_000
CURRENCIES_MAX = 200
# Groups that commits changed since a mask was prepared, and that one call looks at again.
AGAIN_GROUPS = 200
# Of records, in the answer of all shards; more are read after it.
RECORD_BYTES = 4 * 1024 * 1024

# In an answer, in place of the count; see combine.lua.
PREPARE_FIRST, BEHIND, STALE, SELLERS_FIRST, TOO_MUCH = b"PREPARE", b"BEHIND", b"STALE", b"SELLERS", b"TOO_MUCH"
NOT_SEARCHED = Found(b"", -1, b"")


class Window(NamedTuple):
    """Ranks of a shard's list, without `end` itself. `step`: of more than 1, only every step-th is returned, and
    of its row only the head.
    """

    start: int
    end: int
    step: int


class Prepared(NamedTuple):
    """The mask of the filters with these numbers, as of a commit of its shard."""

    filters: Sequence[int]
    bits: bytes
    commit: int
    digest: bytes


class ReadSince(NamedTuple):
    """The commit of a shard since which the caller knows which groups changed; see facets.lua."""

    commit: int
    digest: bytes


class Call(Struct, frozen=True):
    """`query`: as the scripts take it. `has_records`: whether records are wanted. `explains`: whether steps are.

    `later`: of a walk, the query for the shards from the number `turn` on. Equal values are listed by ordinal, then by
    shard, so beside the last row's ordinal it matters on which side of its shard one is.
    """

    script: Script
    query: bytes
    needle: bytes
    has_records: bool
    explains: bool
    later: bytes = b""
    turn: float = inf

    def command(
        self,
        keys: Keys,
        window: Window,
        shards: int,
        found: Found,
        prepared: Prepared | None,
        shard: int = 0,
        most: int = 0,
        since: ReadSince | None = None,
    ) -> Command:
        """`shards`: the number of shards that are called. `shard`: that of this one. `most`: see aggregates.py; 0 if
        nothing is counted.
        """
        record_bytes = max(1, RECORD_BYTES // shards) if self.has_records and window.step == 1 else 0
        numbers = (window.start, window.end, window.step, record_bytes, int(self.explains))
        arguments: tuple[str | bytes, ...] = (self.query if shard < self.turn else self.later, *map(str, numbers))
        names = (keys.row, keys.record, keys.position)
        if self.script is not RANK:
            arguments += (self.needle, found.bits, str(found.number), found.digest)
            filters, bits, commit, digest = prepared or Prepared((), b"", 0, b"")
            arguments += (msgspec.msgpack.encode(filters), bits, str(commit), digest)
            commit, digest = since or (-1, b"")
            arguments += (str(most), str(commit), digest, str(shards))
        return self.script.call(keys, names, *arguments)

    def prepare(self, keys: Keys, number: int, piece: int) -> Command:
        """Makes the mask of a filter, from a piece on; both count from 1."""
        arguments = str(number), str(piece), str(WORK_OF_A_CALL)
        return PREPARE.call(keys, (keys.row, keys.position), self.query, *arguments)


def call(chosen: Rank | Combine | Select, query: Query, *, has_records: bool, explains: bool) -> Call:
    if isinstance(chosen, Rank):
        encoded: dict[str, object] = _rank(chosen, query)
        return _walking(Call(RANK, msgspec.msgpack.encode(encoded), b"", has_records, explains), query, encoded)
    values = [[f"of:{field}:{value}" for value in wanted] for field, wanted in query.values]
    ranges = [_range(field, bounds) for field, bounds in query.ranges]
    encoded = {
        "sort": {"field": query.sort, "slices": SLICES[query.sort], "descending": query.descending},
        "slices": SLICES,
        "values": values,
        "ranges": ranges,
        "few": FEW_MEMBERS,
        "look_ups": LOOK_UPS,
        "walked": WALKED_GROUPS,
        "listed": LISTED_GROUPS,
        "at_once": WORK_AT_ONCE,
        "changed": AGAIN_GROUPS,
    }
    if query.ids is not None:
        encoded["ids"] = query.ids
    if isinstance(chosen, Combine) and chosen.rank is not None and query.mark is None:
        encoded["rank"] = _rank(chosen.rank, query)
    if query.aggregates.are_wanted:
        encoded |= _aggregates(query)
    script = SELECT if isinstance(chosen, Select) else COMBINE
    found = Call(script, msgspec.msgpack.encode(encoded), query.needle, has_records, explains)
    return _walking(found, query, encoded)


def _walking(call: Call, query: Query, encoded: dict[str, object]) -> Call:
    """Returns the call of a page after a mark, as rank.lua and after.lua take that; the same call without one."""
    mark = query.mark
    if mark is None:
        return call
    value = mark.value
    marked: dict[str, object] = {}
    if call.script is RANK:
        marked["score"] = str(value)
    elif value is not None:
        beyond = (LOWEST, value) if query.descending else (value + 1,)
        marked |= {"beyond": _range(query.sort, beyond), "equal": _range(query.sort, (value, value + 1))}
    # The row itself comes after none in front of it, in no shard that is not before its own.
    first, turn = (mark.ordinal, mark.shard) if query.descending else (mark.ordinal + 1, mark.shard + 1)
    bounds = (first, first - 1)
    each = [msgspec.msgpack.encode(encoded | {"mark": {**marked, "bound": bound}}) for bound in bounds]
    return structs.replace(call, query=each[0], later=each[1], turn=turn)


def _rank(chosen: Rank, query: Query) -> dict[str, object]:
    ((lo, hi),) = _scores(chosen.within)
    return {"index": chosen.index, "lo": lo, "hi": hi, "descending": query.descending}


def _aggregates(query: Query) -> dict[str, object]:
    """As aggregates.lua takes them: what is not wanted is left out."""
    wanted, filtered = query.aggregates, [field for field, _ in query.values]
    sellers = {"most": wanted.limit, "prefers": "seller_id" in filtered}
    facets = [
        {
            "field": facet.field,
            **({"own": filtered.index(facet.field) + 1} if facet.is_open and facet.field in filtered else {}),
            **(sellers if facet.field == "seller_id" else {}),
        }
        for facet in wanted.facets
    ]
    edges = [(next(_pieces([edge], SLICES["created_at"])), str(edge)) for edge in wanted.edges]
    found: dict[str, object] = {"facets": facets, "sums": wanted.sums, "edges": edges}
    limits = {"values_max": VALUES_MAX, "currencies_max": CURRENCIES_MAX}
    rows = {"rows_at_once": ROWS_AT_ONCE, "rows_max": ROWS_MAX}
    work = {"sellers_work": SELLERS_WORK, "facet_work": FACET_WORK}
    work |= {"histogram_work": HISTOGRAM_WORK, "sum_work": SUM_WORK}
    return {name: value for name, value in found.items() if value} | limits | rows | work


class _Range(TypedDict):
    """As filters.lua takes it."""

    field: str
    bounds: list[tuple[int, int]]
    pieces: list[str]
    scores: NotRequired[list[tuple[str, str]]]


def _range(field: str, bounds: Bounds) -> _Range:
    half = 1 << SLICES[field] - 1
    # No column is beyond these.
    clamped = [min(max(bound, -half), half) for bound in bounds]
    found = _Range(
        field=field,
        bounds=[divmod(bound, 1 << 40) if field == "total" else (bound, 0) for bound in clamped],
        pieces=list(_pieces(clamped, SLICES[field])),
    )
    if field == "created_at":
        found["scores"] = _scores(bounds)
    return found


def _pieces(bounds: Sequence[int], slices: int) -> Iterator[str]:
    """Yields what is combined by XOR to the mask: `=` for one integer, `>` for all from one on, and the bits, the
    lowest first, with the sign turned.
    """
    half, i = 1 << slices - 1, 0
    while i < len(bounds) and bounds[i] < half:
        is_point = bounds[i + 1 : i + 2] == [bounds[i] + 1]
        turned = bounds[i] + half
        yield ("=" if is_point else ">") + (f"{turned:0{slices}b}"[::-1] if is_point or turned else "")
        i += 2 if is_point else 1


def _scores(bounds: Bounds) -> list[tuple[str, str]]:
    """Returns the intervals as ZCOUNT takes them."""
    return [
        ("-inf" if first == LOWEST else str(first), "+inf" if last is None else str(last))
        for first, last in intervals(bounds)
    ]
