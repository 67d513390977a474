"""The script call that answers a query: the same for every shard, but for the names of the keys. Pure."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import NamedTuple

import msgspec
from msgspec import Struct

from projector.readmodel.client.batches import Command
from projector.readmodel.client.script import Script
from projector.readmodel.query.intervals import Intervals
from projector.readmodel.query.lua.scripts import SCAN, SELECT
from projector.readmodel.query.plan import Scan, Select, heads_suffice
from projector.readmodel.query.prepare.gather import Gathered
from projector.readmodel.query.prepare.search import Found
from projector.readmodel.query.prepare.sides import FIRST_KEYS, Side, bounds, first_keys, pieces_of, sides
from projector.readmodel.query.query import Query
from projector.readmodel.schema.keys import Keys

# Lua's numbers are doubles; no list is longer.
OFFSET_MAX = 2**53
# A filter with at most as many members in a shard is read member by member; with more, bitmaps are faster.
FEW_MEMBERS = 400
# Groups times sets in which they are looked up: with more, bitmaps are taken here, too.
PROBES_MAX = 2000
# Of an interval, at most so many members are looked up for its bitmap; with more, slices are combined.
INTERVAL_MEMBERS = 300
# Members that the call that answers looks up for bitmaps; if there are more, the calls before it do.
AT_ONCE_MEMBERS = 500
# Members that each of those looks up.
SLICE_MEMBERS = 400
# Groups that came or changed meanwhile, and that the answer looks up again; fewer, where a filter has many values.
AGAIN_GROUPS = 200
# Chunks of lines that were appended or edited since they were searched, and that the answer itself searches again.
AGAIN_CHUNKS = 40
# Groups that are looked at one by one on the way to a page, if an even spread has it among them; twice as many at most.
# Else slices narrow it down first, until at most so many, beyond those of the page, are listed and sorted.
WALKED_GROUPS = 200
LISTED_GROUPS = 64
# Of a ladder's step: by how much the rank of a place in it may be off, where places have to be narrowed down.
ROUGH = 1 / 8
# Bytes of a mask from which on it is tried to go on with a part of it; of a part, a quarter of that: else that takes
# longer than it spares.
PART_BYTES = 4096
# Groups of a page that the answer itself lists and sorts; of more, as of spans of several shards, that is done after:
# see places.py. Their documents are read after it, too.
AT_ONCE_LISTED = 100
# Where one call tells more rows, their documents are read after it: see documents.py.
TOLD_ROWS = 100
# The same for whole documents: one of 1000 orders takes a quarter of a megabyte, and Lua some milliseconds.
TOLD_WHOLE_ROWS = 10


class Window(NamedTuple):
    """Ranks of a shard's list, without `end` itself. `step`: 0 for a shard that is alone; `parts` of each document that
    are told, negative if only of those that are not known: see window.lua.
    """

    start: int
    end: int
    step: int
    parts: int


# Parts of a document: none, the default fields, all.
NO_PARTS, HEADS, WHOLE = range(3)


def page(query: Query, parts: int) -> Window:
    """Of a shard that is alone."""
    offset = min(query.offset, OFFSET_MAX)
    return Window(offset, offset + query.limit, 0, parts)


def parts_asked(parts: int, rows: int, *, is_known: bool) -> int:
    """What a call tells of so many rows. `is_known`: what was read of documents after an earlier call."""
    if rows <= (min(TOLD_WHOLE_ROWS, TOLD_ROWS) if parts == WHOLE else TOLD_ROWS):
        return parts
    return -parts if is_known else NO_PARTS


class Call(Struct, frozen=True):
    """`keys` names what the script reads. `order` and `arguments` stand before and after the window. `prepares`: it may
    ask for other calls before it, and what those have found follows. `parts`: of each document, that are wanted.
    `tells`: the reply ends with the steps that were taken: see explain.py.
    """

    script: Script
    keys: Callable[[Keys], Sequence[str]]
    order: tuple[str, str]
    arguments: tuple[str | bytes, ...]
    parts: int
    prepares: bool = False
    tells: bool = False

    def command(
        self, keys: Keys, window: Window, found: Found | None = None, gathered: Gathered | None = None
    ) -> Command:
        prepared = (*_told(found), *_gathered(gathered)) if self.prepares else ()
        arguments = (*self.order, *map(str, window), *self.arguments, *prepared)
        return self.script.call(keys, (*self.keys(keys), keys.position), *arguments)


def call(chosen: Scan | Select, query: Query) -> Call:
    order = (_flag(query.descending), _flag(is_rotated(chosen, query)))
    parts = HEADS if heads_suffice(query) else WHOLE
    if isinstance(chosen, Scan):
        return Call(SCAN, partial(scan_keys, chosen), order, scan_arguments(chosen), parts)
    arguments = (select_arguments(query),)
    return Call(SELECT, partial(select_keys, query), order, arguments, parts, prepares=True, tells=True)


def is_rotated(chosen: Scan | Select, query: Query) -> bool:
    """Whether the groups with the score +inf come last, although the order is descending."""
    return chosen.rotated if isinstance(chosen, Scan) else query.sort == "display_id" and query.descending


def scan_keys(scan: Scan, keys: Keys) -> list[str]:
    index = keys.by(scan.by) if scan.by is not None else keys.of(*scan.of or ("", ""))
    return [keys.row, keys.rest, index]


def scan_arguments(scan: Scan) -> tuple[str, str]:
    return ("-inf", "+inf") if scan.within is None else bounds(scan.within)


def select_keys(query: Query, keys: Keys) -> list[str]:
    """In the order in which `select_arguments` numbers them."""
    values = [keys.of(field, value) for field, wanted in query.values for value in wanted]
    ranges = [keys.by(field) for field, _ in query.ranges]
    return [*first_keys(keys, query.sort), *values, *ranges]


def select_arguments(query: Query) -> bytes:
    """A msgpack map, which names keys by their number in KEYS."""
    number = count(FIRST_KEYS + 1)
    return msgspec.msgpack.encode(
        {
            "needle": query.needle,
            "ids": query.ids or (),
            "by_id": query.ids is not None,
            "values": [[next(number) for _ in wanted] for _, wanted in query.values],
            "ranges": [
                {"key": next(number), "sorted": field == query.sort, **_range(intervals)}
                for field, intervals in query.ranges
            ],
            "by_created": query.sort == "created_at",
            "tells": True,
            "few": FEW_MEMBERS,
            "probed": PROBES_MAX,
            "interval": INTERVAL_MEMBERS,
            "at_once": AT_ONCE_MEMBERS,
            "again_groups": AGAIN_GROUPS,
            "again": AGAIN_CHUNKS,
            "walked": WALKED_GROUPS,
            "listed": LISTED_GROUPS,
            "rough": ROUGH,
            "part": PART_BYTES,
            "at_once_listed": AT_ONCE_LISTED,
        }
    )


def gathering(query: Query) -> list[Side]:
    """What gather.lua may be asked for."""
    return sides(query, {"interval": INTERVAL_MEMBERS, "slice": SLICE_MEMBERS})


def _range(intervals: Intervals) -> dict[str, object]:
    pieces = pieces_of(intervals)
    return {
        "bounds": [bounds(interval) for interval in intervals],
        "pieces": [bounds(interval) for interval in pieces.intervals],
        "left_out": pieces.left_out,
    }


def _told(found: Found | None) -> tuple[str | bytes, ...]:
    """As select.lua takes it."""
    return (b"", "-1", "0") if found is None else (found.bits, str(found.chunks), str(found.edits))


def _gathered(gathered: Gathered | None) -> tuple[str | bytes, ...]:
    """As gathered.lua takes it."""
    return () if gathered is None else (*gathered.since, gathered.sides, gathered.bits)


def _flag(value: bool) -> str:
    return "1" if value else "0"
