"""The list computed the slow, obvious way from plain dicts: the answer that the API must give."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.fields import DEFAULT_FIELDS, GROUP_FIELDS, ORDER_FIELDS
from tests.integration.seed import Group, value_sets

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
    """What is asked, before it is written as a query string. `any_of`: `id` and the four value filters."""

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


def answer(groups: Sequence[Group], request: Request) -> dict[str, Any]:
    matching = ordered([group for group in groups if matches(group, request)], request.sort, request.descending)
    page = matching[request.offset : request.offset + request.limit]
    return {
        "order_groups": [shown(group, request) for group in page],
        "count": len(matching),
        "offset": request.offset,
        "limit": request.limit,
    }


def matches(group: Group, request: Request) -> bool:
    needle = request.q.casefold()
    if needle not in group["id"].casefold() and needle not in (group["customer_id"] or "").casefold():
        return False
    values = {"id": [group["id"]], **value_sets(group)}
    if not all(set(values[name]) & set(wanted) for name, wanted in request.any_of.items()):
        return False
    return all(_in_range(group[name], wanted) for name, wanted in request.ranges.items())


def _in_range(value: int | Decimal | None, operators: Mapping[str, Any]) -> bool:
    return value is not None and all(_COMPARE[name](value, operand) for name, operand in operators.items())


def ordered(groups: Sequence[Group], sort: str, descending: bool) -> list[Group]:
    """Ties by the bytes of the id, in the same direction; groups without a value last, whatever the direction."""

    def key(group: Group) -> tuple[Any, bytes]:
        return ("" if sort == "id" else group[sort] or 0), group["id"].encode()

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
