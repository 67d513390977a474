"""The list computed the slow, obvious way from plain dicts: the answer that the API must give."""

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

from tests.fields import DEFAULT_FIELDS, GROUP_FIELDS, ORDER_FIELDS
from tests.integration.seed import Group, shard_of, texts, value_sets

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
    "$in": lambda value, operand: value in operand,
    "$nin": lambda value, operand: value not in operand,
}


@dataclass
class Request:
    """What is asked, before it is written as a query string. `any_of`: `id` and the value filters."""

    limit: int = 50
    offset: int = 0
    sort: str = "created_at"
    descending: bool = True
    q: str = ""
    any_of: dict[str, Sequence[str]] = field(default_factory=dict)
    ranges: dict[str, dict[str, Any]] = field(default_factory=dict)
    fields: str | None = None
    names: Sequence[str] = DEFAULT_FIELDS
    order_names: Sequence[str] = ORDER_FIELDS
    # Field -> whether the filter on it is left out.
    facets: dict[str, bool] = field(default_factory=dict)
    facet_limit: int = 20
    sums: bool = False


# Of each group its ordinal and shard: what decides among equal values.
Ties = Mapping[str, tuple[int, int]]


def ties_of(groups: Sequence[Group], shards: int = 1) -> dict[str, tuple[int, int]]:
    """As seed.py writes these groups."""
    placed: list[int] = [0] * shards
    found = {}
    for group in groups:
        shard = shard_of(group["id"], shards)
        found[group["id"]] = placed[shard], shard
        placed[shard] += 1
    return found


def answer(groups: Sequence[Group], request: Request, shards: int = 1) -> dict[str, Any]:
    matching = [group for group in groups if matches(group, request)]
    matching = ordered(matching, request.sort, request.descending, ties_of(groups, shards))
    page = matching[request.offset : request.offset + request.limit]
    return {
        "order_groups": [shown(group, request) for group in page],
        "count": len(matching),
        "offset": request.offset,
        "limit": request.limit,
        **counted(groups, request, matching),
    }


def counted(groups: Sequence[Group], request: Request, matching: Sequence[Group]) -> dict[str, Any]:
    """Facets and sums, those that are asked for."""
    found: dict[str, Any] = {}
    if request.facets:
        found["facets"] = {}
        for name, is_open in request.facets.items():
            others = {other: some for other, some in request.any_of.items() if other != name}
            is_wider = is_open and name in request.any_of
            some = [one for one in groups if matches(one, replace(request, any_of=others))] if is_wider else matching
            found["facets"][name] = facet(some, request, name)
    if request.sums:
        found["sums"] = {"total": sums(matching)}
    return found


def facet(groups: Sequence[Group], request: Request, name: str) -> list[dict[str, Any]]:
    numbers = Counter(value for group in groups for value in value_sets(group)[name] if value is not None)
    values = sorted(numbers, key=lambda value: (-numbers[value], value))
    return [
        {"value": value, "count": numbers[value]}
        for value in (values[: request.facet_limit] if name == "seller_id" else values)
    ]


def sums(groups: Iterable[Group]) -> list[dict[str, Any]]:
    """By currency, the group's own one. Averages have six decimals."""
    totals: dict[str | None, list[Decimal]] = {}
    for group in groups:
        totals.setdefault(group["currency_code"], []).append(group["total"])
    with localcontext(prec=60):
        return [
            {
                "currency_code": currency,
                "sum": sum(some, Decimal(0)),
                "count": len(some),
                "min": min(some),
                "max": max(some),
                "avg": (sum(some, Decimal(0)) / len(some)).quantize(Decimal("0.000001"), ROUND_HALF_EVEN),
            }
            for currency, some in sorted(totals.items(), key=lambda one: (one[0] is None, one[0] or ""))
        ]


def histogram(groups: Sequence[Group], request: Request, unit: str) -> dict[str, Any]:
    """`unit`: day, week or month. Walks back from the newest group, interval by interval."""
    found = sorted((group for group in groups if matches(group, request)), key=lambda group: group["created_at"])
    buckets: list[dict[str, Any]] = []
    earlier = list(found)
    start = _start(_time(found[-1]["created_at"]), unit) if found else None
    while start and earlier and len(buckets) < 62:
        inside = [group for group in earlier if _time(group["created_at"]) >= start]
        earlier = earlier[: len(earlier) - len(inside)]
        bucket = {"from": f"{start.date().isoformat()}T00:00:00.000Z", "count": len(inside)}
        buckets.insert(0, bucket | ({"sums": {"total": sums(inside)}} if request.sums else {}))
        start = _start(start - timedelta(milliseconds=1), unit) if earlier else None
    return {"histogram": buckets, "count": len(found), "earlier": len(earlier), "by": f"created_at:{unit}"}


def _time(ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


def _start(time: datetime, unit: str) -> datetime:
    day = time.replace(hour=0, minute=0, second=0, microsecond=0)
    return {"day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}[unit]


def matches(group: Group, request: Request) -> bool:
    needle = request.q.casefold()
    if not any(needle in text.casefold() for text in texts(group)):
        return False
    values = {"id": [group["id"]], **value_sets(group)}
    any_of = dict(request.any_of)
    if "currency_code" in any_of:
        any_of["currency_code"] = [code.lower() for code in any_of["currency_code"]]
    if not all(set(values[name]) & set(wanted) for name, wanted in any_of.items()):
        return False
    return all(_in_range(group[name], wanted) for name, wanted in request.ranges.items())


def _in_range(value: int | Decimal | None, operators: Mapping[str, Any]) -> bool:
    return value is not None and all(_COMPARE[name](value, operand) for name, operand in operators.items())


def ordered(groups: Sequence[Group], sort: str, descending: bool, ties: Ties) -> list[Group]:
    """Groups without a value come last, whatever the direction."""

    def key(group: Group) -> tuple[Any, tuple[int, int]]:
        return group[sort] or 0, ties[group["id"]]

    with_value = [group for group in groups if group[sort] is not None]
    without = [group for group in groups if group[sort] is None]
    return [*sorted(with_value, key=key, reverse=descending), *sorted(without, key=key, reverse=descending)]


def shown(group: Group, request: Request) -> Group:
    picked = {name: group[name] for name in GROUP_FIELDS if name in request.names}
    if "orders" in picked:
        sellers = request.any_of.get("seller_id")
        picked["orders"] = [
            {name: order[name] for name in request.order_names}
            for order in group["orders"]
            if sellers is None or order["seller_id"] in sellers
        ]
    return picked
