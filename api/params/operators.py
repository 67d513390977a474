"""Filters with operators, such as `created_at[$gte]=...`: from a node of the query string to a set of integers."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import ceil, floor, isfinite
from typing import NamedTuple

from api.params.tree import LIST_VALUES_MAX, Node, js_text
from projector.readmodel.query.intervals import ALL, LOWEST, Bounds, complement, intersect, span, union

OPERATORS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin")

# RFC 3339, or only its date. The `+` of an offset may be a space: `+` in a query string decodes to that. Without an
# offset, as SQL writes times, it is UTC.
_DATE = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.(?P<fraction>[0-9]{1,32}))?"
    r"(?P<offset>[Zz]|[+ -][0-9]{2}:[0-9]{2})?)?"
)
# The lengths bound the work of `float`.
_NUMBER = re.compile(r"-?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,4})?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Decimals of a number that the read model stores as an integer.
DECIMALS = {"total": 6}


class Edges(NamedTuple):
    """Of a number, in the unit of the read model: the first integer that is not less, and the first that is greater."""

    not_less: int
    greater: int


Scalar = Callable[[str], Edges | None]


class Issue(Exception):
    """An invalid parameter, with Medusa's message."""


def wrong_type(expected: str, path: str, node: Node) -> Issue:
    return Issue(f"Expected type: '{expected}' for field '{path}', got: '{js_text(node)}'")


def one_of(allowed: tuple[str, ...], path: str, got: str) -> Issue:
    return Issue(f"Expected: '{', '.join(allowed)}' for field '{path}', but got: '{js_text(got)}'")


def text(path: str, node: Node) -> str:
    """Raises Issue."""
    if not isinstance(node, str):
        raise wrong_type("string", path, node)
    return node


def texts(path: str, node: Node) -> list[str]:
    """Returns the elements of a list, or a lone text. Raises Issue."""
    nodes = node if isinstance(node, list) else [node]
    found = [one for one in nodes if isinstance(one, str)]
    if len(found) < len(nodes):
        raise wrong_type("string, array", path, node)
    return found


def choice(allowed: tuple[str, ...], path: str, node: Node) -> str:
    """Returns a text that is allowed. Raises Issue."""
    found = text(path, node)
    if found not in allowed:
        raise one_of(allowed, path, found)
    return found


def too_long(path: str) -> Issue:
    return Issue(f"Value for field '{path}' too big, expected at most: '{LIST_VALUES_MAX}'")


def date_bounds(field: str, node: Node) -> Bounds | None:
    """Returns Unix milliseconds; None for no filter, () if nothing matches. Raises Issue."""
    return _bounds(field, node, "date", _date_edges)


def number_bounds(field: str, node: Node) -> Bounds | None:
    """Returns integers in the unit of the read model; None for no filter, () if nothing matches. Raises Issue."""
    decimals = DECIMALS.get(field, 0)
    return _bounds(field, node, "number", lambda text: number_edges(text, decimals))


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


def _date_edges(text: str) -> Edges | None:
    ms = date_ms(text)
    return None if ms is None else Edges(ms, ms + 1)


def number_edges(text: str, decimals: int) -> Edges | None:
    """Returns the exact edges of `text` times a power of ten; None if it is no number, or infinite in JavaScript."""
    if not _NUMBER.fullmatch(text) or not isfinite(float(text)):
        return None
    sign, digits, exponent = Decimal(text).as_tuple()
    assert isinstance(exponent, int), "the pattern admits neither NaN nor infinity"
    # Made of its digits, a decimal is exact, whatever the context's precision.
    value = Decimal((sign, digits, exponent + decimals))
    if abs(value) >= -LOWEST:
        # No column reaches this far.
        return Edges(LOWEST + 1, LOWEST + 1) if sign else Edges(-LOWEST, -LOWEST)
    return Edges(ceil(value), floor(value) + 1)


def _bounds(field: str, node: Node, kind: str, scalar: Scalar) -> Bounds | None:
    if node == "":
        return None
    if not isinstance(node, dict):
        node = {"$in" if isinstance(node, list) else "$eq": node}
    if len(node) == 0:
        raise wrong_type(kind, field, node)
    bounds = ALL
    for operator, operand in node.items():
        if operator not in OPERATORS:
            raise one_of(OPERATORS, field, operator)
        path = field if operator in ("$in", "$eq") and len(node) == 1 else f"{field}, {operator}"
        bounds = intersect(bounds, _apply(operator, operand, path, kind, scalar))
    return bounds


def _apply(operator: str, operand: Node, path: str, kind: str, scalar: Scalar) -> Bounds:
    if operator in ("$eq", "$in", "$ne", "$nin"):
        points = union(span(*edges) for edges in _values(operand, path, kind, scalar))
        return points if operator in ("$eq", "$in") else complement(points)
    not_less, greater = _value(operand, path, kind, scalar)
    match operator:
        case "$gt":
            return (greater,)
        case "$gte":
            return (not_less,)
        case "$lt":
            return span(LOWEST, not_less)
        case _:
            return span(LOWEST, greater)


def _values(operand: Node, path: str, kind: str, scalar: Scalar) -> list[Edges]:
    """Returns the values of an operand. Empty elements of a list are skipped."""
    if not isinstance(operand, list):
        return [_value(operand, path, kind, scalar)]
    if len(operand) > LIST_VALUES_MAX:
        raise too_long(path)
    return [_value(element, path, kind, scalar) for element in operand if element != ""]


def _value(operand: Node, path: str, kind: str, scalar: Scalar) -> Edges:
    value = scalar(operand) if isinstance(operand, str) else None
    if value is None:
        raise wrong_type(kind, path, operand)
    return value
