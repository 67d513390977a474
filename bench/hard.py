"""Adversarial queries, designed to block Redis for long."""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from itertools import islice
from typing import NamedTuple, TypeVar
from urllib.parse import urlencode

from bench.marketplace import IMPORT_MS, IMPORT_SHARE, IMPORTED_MS, OTHER_SELLERS, UNTIL, Group, groups, time_text

# The maximum of values in a filter, and of rows in a page.
MANY = 1000
# Sellers from the middle of the long tail: of a million groups each has some hundred, too few for a bitmap.
_MIDDLE = OTHER_SELLERS // 2
_DAY = timedelta(days=1)
T = TypeVar("T")
_Parameters = list[tuple[str, str]]
_PENDING, _WEB, _BY_TOTAL = [("status", "pending")], [("sales_channel_id", "sc_web")], [("order", "-total")]
_BOTH = [*_PENDING, *_WEB]


class Hard(NamedTuple):
    """`query`: percent-encoded. `matches`: whether the query finds a group."""

    name: str
    query: str
    matches: Callable[[Group], bool]


def hard(number: int) -> list[Hard]:
    """The queries for a marketplace of that many groups."""
    sample = list(islice(groups(number), 4 * MANY))
    return [*_of_many_values(sample), *_of_ranges_and_text(number, sample)]


def _of_many_values(sample: Sequence[Group]) -> list[Hard]:
    few, some = _sellers(_MIDDLE, 20), _sellers(_MIDDLE, 400)
    customers = _first(group.customer_id for group in sample if group.customer_id)
    cents = _first(group.total_cents for group in sample)
    prices = [f"{one / 100:.2f}" for one in cents]
    numbers = _first(group.display_id for group in sample)
    return [
        _hard("20 sellers by total", _all("seller_id", few) + _BY_TOTAL, lambda group: _sells(group, few)),
        _hard(
            "400 sellers, status by update",
            [*_all("seller_id", some), *_PENDING, ("order", "updated_at")],
            lambda group: _is_pending(group) and _sells(group, some),
        ),
        _hard("1 000 customers", _all("customer_id", customers), lambda group: group.customer_id in customers),
        _hard("1 000 totals", _all("total[$in]", prices), lambda group: group.total_cents in cents),
        _hard(
            "all but 1 000 totals, channel by update",
            [*_all("total[$nin]", prices), *_WEB, ("order", "-updated_at")],
            lambda group: _is_web(group) and group.total_cents not in cents,
        ),
        _hard(
            "all but 1 000 numbers, status by total",
            [*_all("display_id[$nin]", map(str, numbers)), *_PENDING, *_BY_TOTAL],
            lambda group: _is_pending(group) and group.display_id not in numbers,
        ),
    ]


def _of_ranges_and_text(number: int, sample: Sequence[Group]) -> list[Hard]:
    since, until = (int((UNTIL - days * _DAY).timestamp() * 1000) for days in (60, 3))
    ids = _first(group.id for group in sample)
    many = ("limit", str(MANY))
    # Of a million groups these two have few enough for a look-up of each.
    small = _sellers(OTHER_SELLERS - 1, 2)
    ranges = {
        "created_at[$gte]": time_text(since),
        "created_at[$lt]": time_text(until),
        "total[$gte]": "20",
        "total[$lt]": "500",
        "seller_count[$gte]": "1",
        "seller_count[$lte]": "3",
        "display_id[$gte]": "1100",
        "display_id[$lt]": str(number),
    }

    def in_ranges(group: Group) -> bool:
        return (
            since <= group.created_ms < until
            and 2000 <= group.total_cents < 50000
            and len({order.seller_id for order in group.orders}) <= 3
            and 1100 <= group.display_id < number
        )

    return [
        _hard("four ranges by total", [*ranges.items(), *_BY_TOTAL], in_ranges),
        _hard(
            "a letter, status by total",
            [("q", "a"), *_PENDING, *_BY_TOTAL],
            lambda group: _is_pending(group) and _has(group, "a"),
        ),
        _hard(
            "a letter, two small sellers, by sellers",
            [("q", "a"), *_all("seller_id", small), ("order", "seller_count")],
            lambda group: _sells(group, small) and _has(group, "a"),
        ),
        _hard(
            "1 000 ids, two letters",
            [*_all("id", ids), ("q", "a1")],
            lambda group: group.id in ids and _has(group, "a1"),
        ),
        *_of_import(number),
        _hard("status, channel by seller_count, deep", [*_BOTH, ("order", "seller_count"), *_deep(number)], _is_both),
        _hard("1 000 rows, deep, by total", [*_BOTH, *_BY_TOTAL, *_deep(number), many], _is_both),
        _hard("1 000 whole documents, deep", [*_BOTH, ("fields", "*orders"), *_deep(number), many], _is_both),
    ]


def _deep(number: int) -> _Parameters:
    return [("offset", str(number // 10))]


def _of_import(number: int) -> list[Hard]:
    """Queries over the groups of an import, more than one call could check."""
    begin, middle, end = (IMPORTED_MS + n * IMPORT_MS // 2 for n in range(3))
    # Four tenths of them have that status and channel.
    deep = ("offset", str(int(0.2 * IMPORT_SHARE * number)))
    return [
        _hard(
            "status, channel in an import, by creation, deep",
            [*_BOTH, ("created_at[$gte]", time_text(begin)), ("order", "created_at"), deep],
            lambda group: _is_both(group) and group.created_ms >= begin,
        ),
        _hard(
            "status, channel, half an import, by total",
            [*_BOTH, ("created_at[$gte]", time_text(middle)), ("created_at[$lt]", time_text(end)), *_BY_TOTAL],
            lambda group: _is_both(group) and middle <= group.created_ms < end,
        ),
    ]


def _hard(name: str, parameters: _Parameters, matches: Callable[[Group], bool]) -> Hard:
    return Hard(name, urlencode(parameters), matches)


def _sellers(first: int, number: int) -> set[str]:
    return {f"sel_{n:05}" for n in range(first, first + number)}


def _first(values: Iterable[T]) -> set[T]:
    """The first different ones, as many as a filter may have."""
    return set(islice(dict.fromkeys(values), MANY))


def _all(name: str, values: Iterable[str]) -> _Parameters:
    return [(f"{name}[]", value) for value in sorted(values)]


def _is_pending(group: Group) -> bool:
    return any(order.status == "pending" for order in group.orders)


def _is_web(group: Group) -> bool:
    return group.sales_channel_id == "sc_web"


def _is_both(group: Group) -> bool:
    return _is_pending(group) and _is_web(group)


def _sells(group: Group, sellers: set[str]) -> bool:
    return any(order.seller_id in sellers for order in group.orders)


def _has(group: Group, text: str) -> bool:
    return text in group.id.lower() or text in (group.customer_id or "")
