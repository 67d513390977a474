"""Parses a query string to a `Query`, or to the issues in it, with Medusa's messages. Pure."""

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec import Struct

from api.params.fields import LIST_DEFAULTS, ONE_DEFAULTS, parse_fields
from api.params.operators import Issue, date_intervals, number_intervals, one_of, too_long, wrong_type
from api.params.tree import LIST_VALUES_MAX, Node, TooMany, parse_tree, shortened
from projector.readmodel.query.fields import Fields
from projector.readmodel.query.query import DATE_FIELDS, NUMBER_FIELDS, RANGE_FIELDS, Query
from projector.readmodel.schema.keys import SORT_FIELDS, VALUE_FIELDS

LIMIT_DEFAULT = 50
# Rows of one page, at most.
LIMIT_MAX = 1000
# Issues in one message.
ISSUES_MAX = 3
# `parseInt` of more digits may be Infinity in JavaScript, which no parameter accepts.
DIGITS_MAX = 308

LIST_PARAMETERS = ("limit", "offset", "order", "fields", "q", "id", *VALUE_FIELDS, *RANGE_FIELDS, "with_deleted")
ONE_PARAMETERS = ("fields",)

# parseInt of ECMAScript: its own white space, a sign, then the leading digits.
_BLANKS = r"[\t\n\v\f\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]*"
_PARSE_INT = re.compile(_BLANKS + r"(?P<sign>[+-]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|(?!0[xX])(?P<decimal>[0-9]+))")

T = TypeVar("T")


class InvalidRequest(Struct, frozen=True):
    issues: tuple[str, ...]

    @property
    def message(self) -> str:
        return "Invalid request: " + "; ".join(self.issues[:ISSUES_MAX])


def parse_list(raw: str) -> Query | InvalidRequest:
    """`raw`: the query string of a list, percent-encoded, without the question mark."""
    if not raw:
        return _DEFAULT_QUERY
    issues: list[str] = []
    try:
        tree = parse_tree(raw)
    except TooMany as error:
        return InvalidRequest((str(error),))
    query = _query(tree, issues)
    _refuse_unknown(tree, LIST_PARAMETERS, issues)
    return InvalidRequest(tuple(issues)) if issues else query


def parse_one(raw: str) -> Fields | InvalidRequest:
    """`raw`: the query string of a single group; its only parameter is `fields`."""
    issues: list[str] = []
    try:
        tree = parse_tree(raw)
    except TooMany as error:
        return InvalidRequest((str(error),))
    fields = parse_fields(_take(tree, "fields", _text, None, issues), ONE_DEFAULTS)
    _refuse_unknown(tree, ONE_PARAMETERS, issues)
    return InvalidRequest(tuple(issues)) if issues else fields


def _query(tree: dict[str, Node], issues: list[str]) -> Query:
    limit = _take(tree, "limit", _limit, LIMIT_DEFAULT, issues)
    offset = _take(tree, "offset", _count, 0, issues)
    sort, descending = _take(tree, "order", _order, ("created_at", True), issues)
    fields = parse_fields(_take(tree, "fields", _text, None, issues), LIST_DEFAULTS)
    needle = _take(tree, "q", _text, "", issues).casefold()
    ids = _take(tree, "id", _ids, None, issues)
    values = _present((field, _take(tree, field, _filter_values, None, issues)) for field in VALUE_FIELDS)
    dates = _present((field, _take(tree, field, date_intervals, None, issues)) for field in DATE_FIELDS)
    numbers = _present((field, _take(tree, field, number_intervals, None, issues)) for field in NUMBER_FIELDS)
    return Query(limit, offset, sort, descending, needle, ids, values, dates + numbers, fields)


def _take(tree: dict[str, Node], name: str, parse: Callable[[str, Node], T], absent: T, issues: list[str]) -> T:
    if name not in tree:
        return absent
    try:
        return parse(name, tree[name])
    except Issue as issue:
        issues.append(str(issue))
        return absent


def _present(filters: Iterable[tuple[str, T | None]]) -> tuple[tuple[str, T], ...]:
    return tuple((field, value) for field, value in filters if value is not None)


def _refuse_unknown(tree: dict[str, Node], known: tuple[str, ...], issues: list[str]) -> None:
    unknown = [name for name in tree if name not in known]
    if unknown:
        issues.append(f"Unrecognized fields: '{shortened(', '.join(unknown))}'")


def _text(name: str, node: Node) -> str:
    if not isinstance(node, str):
        raise wrong_type("string", name, node)
    return node


def _count(name: str, node: Node) -> int:
    match = _PARSE_INT.match(node) if isinstance(node, str) else None
    if match is None or len(match["decimal"] or match["hex"]) > DIGITS_MAX:
        raise wrong_type("number", name, node)
    value = int(match["decimal"]) if match["decimal"] else int(match["hex"], 16)
    if match["sign"] == "-" and value > 0:
        raise Issue(f"Value for field '{name}' too small, expected at least: '0'")
    return value


def _limit(name: str, node: Node) -> int:
    value = _count(name, node)
    if value > LIMIT_MAX:
        raise Issue(f"Value for field '{name}' too big, expected at most: '{LIMIT_MAX}'")
    return value


def _order(name: str, node: Node) -> tuple[str, bool]:
    text = _text(name, node)
    field = text.removeprefix("-")
    if field not in SORT_FIELDS:
        raise one_of(SORT_FIELDS, name, text)
    return field, text.startswith("-")


def _filter_values(name: str, node: Node) -> tuple[str, ...] | None:
    return None if node == "" else _ids(name, node)


def _ids(name: str, node: Node) -> tuple[str, ...]:
    values = node if isinstance(node, list) else [node]
    if len(values) > LIST_VALUES_MAX:
        raise too_long(name)
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) < len(values):
        raise wrong_type("string, array", name, node)
    return tuple(sorted({text for text in texts if text}))


_DEFAULT_QUERY = _query({}, [])
