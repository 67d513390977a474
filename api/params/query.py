"""Parses a query string to a `Query`, or raises the issues in it, with Medusa's messages. Pure."""

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec import Struct, structs

from api.params.after import after
from api.params.aggregates import FACET_LIMIT_DEFAULT, FACET_LIMIT_MAX, by, facets, sums
from api.params.fields import LIST_DEFAULTS, ONE_DEFAULTS, parse_fields
from api.params.operators import Issue, date_bounds, number_bounds, one_of, text, texts, too_long, wrong_type
from api.params.tree import LIST_VALUES_MAX, Node, TooMany, parse_tree, shortened
from projector.readmodel.query.aggregates import Aggregates
from projector.readmodel.query.fields import Fields
from projector.readmodel.query.histogram import Unit
from projector.readmodel.query.query import DATE_FIELDS, NUMBER_FIELDS, RANGE_FIELDS, Query
from projector.readmodel.schema.keys import SORT_FIELDS, VALUE_FIELDS

LIMIT_DEFAULT = 50
# Rows of one page, at most.
LIMIT_MAX = 1000
# Issues in one message.
ISSUES_MAX = 3
# `parseInt` of more digits may be Infinity in JavaScript, which no parameter accepts.
DIGITS_MAX = 308

PAGE_PARAMETERS = ("limit", "offset", "after", "order")
FILTERS = ("q", "id", *VALUE_FIELDS, *RANGE_FIELDS, "with_deleted")
COUNTED_PARAMETERS = ("facets", "facet_limit", "sums")
LIST_PARAMETERS = (*PAGE_PARAMETERS, "fields", *FILTERS, *COUNTED_PARAMETERS)
HISTOGRAM_PARAMETERS = ("by", *FILTERS, "sums")
ONE_PARAMETERS = ("fields",)

# parseInt of ECMAScript: its own white space, a sign, then the leading digits.
_BLANKS = r"[\t\n\v\f\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]*"
_PARSE_INT = re.compile(_BLANKS + r"(?P<sign>[+-]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|(?!0[xX])(?P<decimal>[0-9]+))")

T = TypeVar("T")


class InvalidRequest(Exception):
    """The text is the message of the answer, with the first issues."""

    def __init__(self, *issues: str) -> None:
        super().__init__("Invalid request: " + "; ".join(issues[:ISSUES_MAX]))


def parse_list(raw: str) -> Query:
    """`raw`: the query string of a list, percent-encoded, without the question mark. Raises InvalidRequest."""
    return parsed(raw, LIST_PARAMETERS, query_of) if raw else _DEFAULT_QUERY


class HistogramQuery(Struct, frozen=True):
    """`filters`: the list that is counted."""

    filters: Query
    unit: Unit
    sums: bool


def parse_histogram(raw: str) -> HistogramQuery:
    """`raw`: the query string of a histogram; the filters are those of lists. Raises InvalidRequest."""
    return parsed(raw, HISTOGRAM_PARAMETERS, _histogram)


def _histogram(tree: dict[str, Node], issues: list[str]) -> HistogramQuery:
    if "by" not in tree:
        issues.append("Field 'by' is required")
    unit = take(tree, "by", by, Unit.DAY, issues)
    filters = query_of({name: node for name, node in tree.items() if name in FILTERS}, issues)
    return HistogramQuery(filters, unit, take(tree, "sums", sums, False, issues))


def parse_one(raw: str) -> Fields:
    """`raw`: the query string of a single group; its only parameter is `fields`. Raises InvalidRequest."""
    return parsed(raw, ONE_PARAMETERS, _one)


def _one(tree: dict[str, Node], issues: list[str]) -> Fields:
    return parse_fields(take(tree, "fields", text, None, issues), ONE_DEFAULTS)


def parsed(raw: str, known: tuple[str, ...], read: Callable[[dict[str, Node], list[str]], T]) -> T:
    """Returns what `read` makes of the parameters. Raises InvalidRequest if it adds an issue, or one is not `known`."""
    issues: list[str] = []
    try:
        tree = parse_tree(raw)
    except TooMany as error:
        raise InvalidRequest(str(error)) from None
    found = read(tree, issues)
    if unknown := [name for name in tree if name not in known]:
        issues.append(f"Unrecognized fields: '{shortened(', '.join(unknown))}'")
    if issues:
        raise InvalidRequest(*issues)
    return found


def query_of(tree: dict[str, Node], issues: list[str]) -> Query:
    """Returns the list, with defaults where there is an issue, and adds the issues."""
    limit = take(tree, "limit", limited, LIMIT_DEFAULT, issues)
    offset = take(tree, "offset", _count, 0, issues)
    sort, descending = take(tree, "order", _order, ("created_at", True), issues)
    fields = parse_fields(take(tree, "fields", text, None, issues), LIST_DEFAULTS)
    needle = take(tree, "q", text, "", issues).casefold().encode()
    ids = take(tree, "id", _ids, None, issues)
    values = _present((field, take(tree, field, _filter_values, None, issues)) for field in VALUE_FIELDS)
    dates = _present((field, take(tree, field, date_bounds, None, issues)) for field in DATE_FIELDS)
    numbers = _present((field, take(tree, field, number_bounds, None, issues)) for field in NUMBER_FIELDS)
    take(tree, "with_deleted", boolean, False, issues)
    query = Query(limit, offset, sort, descending, needle, ids, values, dates + numbers, fields)
    query = take(tree, "after", lambda name, node: after(name, text(name, node), query, tree), query, issues)
    wanted = Aggregates(
        take(tree, "facets", facets, (), issues),
        take(tree, "facet_limit", _facet_limit, FACET_LIMIT_DEFAULT, issues),
        take(tree, "sums", sums, False, issues),
    )
    # Equal lists are equal queries.
    return structs.replace(query, aggregates=wanted) if wanted.are_wanted else query


def take(tree: dict[str, Node], name: str, parse: Callable[[str, Node], T], absent: T, issues: list[str]) -> T:
    if name not in tree:
        return absent
    try:
        return parse(name, tree[name])
    except Issue as issue:
        issues.append(str(issue))
        return absent


def _present(filters: Iterable[tuple[str, T | None]]) -> tuple[tuple[str, T], ...]:
    return tuple((field, value) for field, value in filters if value is not None)


def boolean(name: str, node: Node) -> bool:
    if node not in ("true", "false"):
        raise wrong_type("boolean", name, node)
    return node == "true"


def _count(name: str, node: Node) -> int:
    match = _PARSE_INT.match(node) if isinstance(node, str) else None
    if match is None or len(match["decimal"] or match["hex"]) > DIGITS_MAX:
        raise wrong_type("number", name, node)
    value = int(match["decimal"]) if match["decimal"] else int(match["hex"], 16)
    if match["sign"] == "-" and value > 0:
        raise Issue(f"Value for field '{name}' too small, expected at least: '0'")
    return value


def limited(name: str, node: Node, most: int = LIMIT_MAX) -> int:
    """Returns an integer from 0 to `most`. Raises Issue."""
    value = _count(name, node)
    if value > most:
        raise Issue(f"Value for field '{name}' too big, expected at most: '{most}'")
    return value


def _facet_limit(name: str, node: Node) -> int:
    value = limited(name, node, FACET_LIMIT_MAX)
    if value < 1:
        raise Issue(f"Value for field '{name}' too small, expected at least: '1'")
    return value


def _order(name: str, node: Node) -> tuple[str, bool]:
    wanted = text(name, node)
    field = wanted.removeprefix("-")
    if field not in SORT_FIELDS:
        raise one_of(SORT_FIELDS, name, wanted)
    return field, wanted.startswith("-")


def _filter_values(name: str, node: Node) -> tuple[str, ...] | None:
    if node == "":
        return None
    values = _ids(name, node)
    return tuple(sorted({value.lower() for value in values})) if name == "currency_code" else values


def _ids(name: str, node: Node) -> tuple[str, ...]:
    if isinstance(node, list) and len(node) > LIST_VALUES_MAX:
        raise too_long(name)
    return tuple(sorted(set(texts(name, node)) - {""}))


_DEFAULT_QUERY = query_of({}, [])
