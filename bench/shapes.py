"""The lists to measure, as parameters of the endpoint, and how many groups each must find."""

import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import islice
from typing import NamedTuple

from bench.marketplace import BIG_SELLER, UNTIL, Group, groups, time_text

# Number of groups from which the thresholds are computed.
_SAMPLE_GROUPS = 2_000
# Characters of an id: of a million ids some thirty contain the same four in a row.
_NEEDLE = 4


class Shape(NamedTuple):
    """`parameters`: as of the endpoint. `limit` is the default of 50, or 0 where no page is read."""

    name: str
    parameters: dict[str, str]

    @property
    def filters(self) -> dict[str, str]:
        others = ("order", "offset", "limit", "facets", "sums")
        return {name: value for name, value in self.parameters.items() if name not in others}

    @property
    def order(self) -> str:
        return self.parameters.get("order", "-created_at")

    @property
    def offset(self) -> int:
        return int(self.parameters.get("offset", 0))


def shapes(number: int) -> list[Shape]:
    """The lists for a marketplace of that many groups."""
    sample = list(islice(groups(number), _SAMPLE_GROUPS))
    totals = sorted(group.total_cents for group in sample)
    threshold = f"{totals[int(0.7 * (len(totals) - 1))] / 100:.2f}"
    customer = next(group.customer_id for group in sample if group.customer_id)
    needle = random.Random(number).choice(sample).id[-_NEEDLE:].lower()
    pending, web, seller = {"status": "pending"}, {"sales_channel_id": "sc_web"}, {"seller_id": BIG_SELLER}
    recent, most = _since(60), _since(350)
    return [
        Shape("all", {}),
        Shape("all, from the middle", {"offset": str(number // 2)}),
        Shape("one customer", {"customer_id": customer}),
        Shape("seller of 10 %", seller),
        Shape("status of 10 %", {"status": "completed"}),
        Shape("status of 80 %", pending),
        Shape("status of 80 %, channel of 50 %", pending | web),
        Shape("the same, deep", pending | web | {"offset": str(number // 10)}),
        Shape("seller, status, 60 days", seller | pending | recent),
        Shape("status, 60 days", pending | recent),
        Shape("350 days by total", most | {"order": "-total"}),
        Shape("status of 80 % by total", pending | {"order": "-total"}),
        Shape("rare status, channel by total", {"status": "requires_action"} | web | {"order": "-total"}),
        Shape("high total, seller by update", {"total[$gte]": threshold} | seller | {"order": "-updated_at"}),
        Shape("text with few hits", {"q": needle}),
    ]


def counts(number: int, asked: Sequence[Shape]) -> dict[str, int]:
    """Shape -> how many groups it must find, by checking every group, independent of projector and database."""
    found = dict.fromkeys((shape.name for shape in asked), 0)
    filters = [(shape.name, [(_MATCHES[name], value) for name, value in shape.filters.items()]) for shape in asked]
    for group in groups(number):
        for name, conditions in filters:
            if all(matches(group, value) for matches, value in conditions):
                found[name] += 1
    return found


_MATCHES: dict[str, Callable[[Group, str], bool]] = {
    "customer_id": lambda group, value: group.customer_id == value,
    "seller_id": lambda group, value: any(order.seller_id == value for order in group.orders),
    "status": lambda group, value: any(order.status == value for order in group.orders),
    "sales_channel_id": lambda group, value: group.sales_channel_id == value,
    # All times have one format and zone, so that text order is time order.
    "created_at[$gte]": lambda group, value: time_text(group.created_ms) >= value,
    "total[$gte]": lambda group, value: group.total_cents >= round(100 * float(value)),
    "q": lambda group, value: value in group.id.lower() or value in (group.customer_id or ""),
}


def _since(days: int) -> dict[str, str]:
    since = UNTIL - timedelta(days=days)
    return {"created_at[$gte]": time_text(int(since.timestamp() * 1000))}
