"""Filters with operators, such as `created_at[$gte]=...`: from a node of the query string to intervals."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import isfinite

from api.params.tree import LIST_VALUES_MAX, Node, js_text
from projector.readmodel.query.intervals import FINITE, Intervals, above, all_but, below, intersect, of_integers, points

OPERATORS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin")

# RFC 3339, or only its date. The `+` of an offset may be a space: `+` in a query string decodes to that.
_DATE = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.(?P<fraction>[0-9]{1,32}))?"
    r"(?P<offset>[Zz]|[+ -][0-9]{2}:[0-9]{2}))?"
)
# The lengths bound the work of `float`.
_NUMBER = re.compile(r"-?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,4})?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Scalar = Callable[[str], float | None]


class Issue(Exception):
    """An invalid parameter, with Medusa's message."""


def wrong_type(expected: str, path: str, node: Node) -> Issue:
    return Issue(f"Expected type: '{expected}' for field '{path}', got: '{js_text(node)}'")


def one_of(allowed: tuple[str, ...], path: str, got: str) -> Issue:
    return Issue(f"Expected: '{', '.join(allowed)}' for field '{path}', but got: '{js_text(got)}'")


def too_long(path: str) -> Issue:
    return Issue(f"Value for field '{path}' too big, expected at most: '{LIST_VALUES_MAX}'")


def date_intervals(field: str, node: Node) -> Intervals | None:
    """Returns closed intervals of Unix milliseconds; None for no filter, () if nothing matches. Raises Issue."""
    intervals = _intervals(field, node, "date", date_ms)
    return None if intervals is None else of_integers(intervals)


def number_intervals(field: str, node: Node) -> Intervals | None:
    """Returns intervals; None for no filter, () if nothing matches. Raises Issue."""
    return _intervals(field, node, "number", number)


def date_ms(text: str) -> int | None:
    """Returns Unix milliseconds, truncated as in JavaScript; None if `text` is no date."""
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    fraction = (match["fraction"] or "")[:6].ljust(6, "0")
    offset = (match["offset"] or "Z").upper().replace(" ", "+")
    try:
        parsed = datetime.fromisoformat(f"{match['day']}T{match['time'] or '00:00:00'}.{fraction}{offset}")
    except ValueError:
        return None
    return (parsed - _EPOCH) // timedelta(milliseconds=1)


def number(text: str) -> float | None:
    """Returns the nearest double, as the index has it; None if `text` is no finite number."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if isfinite(value) else None


def _intervals(field: str, node: Node, kind: str, scalar: Scalar) -> Intervals | None:
    if node == "":
        return None
    if not isinstance(node, dict):
        node = {"$in" if isinstance(node, list) else "$eq": node}
    if len(node) == 0:
        raise wrong_type(kind, field, node)
    intervals = FINITE
    for operator, operand in node.items():
        if operator not in OPERATORS:
            raise one_of(OPERATORS, field, operator)
        path = field if operator in ("$in", "$eq") and len(node) == 1 else f"{field}, {operator}"
        intervals = intersect(intervals, _apply(operator, operand, path, kind, scalar))
    return intervals


def _apply(operator: str, operand: Node, path: str, kind: str, scalar: Scalar) -> Intervals:
    if operator in ("$eq", "$in"):
        return points(_values(operand, path, kind, scalar))
    if operator in ("$ne", "$nin"):
        return all_but(_values(operand, path, kind, scalar))
    value = _value(operand, path, kind, scalar)
    if operator in ("$gt", "$gte"):
        return above(value, open_=operator == "$gt")
    return below(value, open_=operator == "$lt")


def _values(operand: Node, path: str, kind: str, scalar: Scalar) -> list[float]:
    """Returns the values of an operand. Empty elements of a list are skipped."""
    if not isinstance(operand, list):
        return [_value(operand, path, kind, scalar)]
    if len(operand) > LIST_VALUES_MAX:
        raise too_long(path)
    return [_value(element, path, kind, scalar) for element in operand if element != ""]


def _value(operand: Node, path: str, kind: str, scalar: Scalar) -> float:
    value = scalar(operand) if isinstance(operand, str) else None
    if value is None:
        raise wrong_type(kind, path, operand)
    return value
