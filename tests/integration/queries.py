"""Random requests, the many ways to write one as a query string, and the answer as JSON shows it."""

import random
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from tests.fields import (
    DEFAULT_FIELDS,
    FACET_FIELDS,
    GROUP_FIELDS,
    ORDER_FIELDS,
    ORDER_TIMES,
    RANGE_FIELDS,
    SORT_FIELDS,
    TIME_FIELDS,
)
from tests.integration.naive import Request
from tests.integration.seed import CHANNELS, CUSTOMERS, FULFILLMENTS, PAYMENTS, SELLERS, STATUSES, Group, iso

FIELDS: tuple[tuple[str | None, tuple[str, ...], tuple[str, ...]], ...] = (
    (None, DEFAULT_FIELDS, ORDER_FIELDS),
    (None, DEFAULT_FIELDS, ORDER_FIELDS),
    ("", ("id",), ORDER_FIELDS),
    ("total,nothing", ("id", "total"), ORDER_FIELDS),
    ("+display_id,+statuses", (*DEFAULT_FIELDS, "display_id", "statuses"), ORDER_FIELDS),
    ("-total,-id", tuple(name for name in DEFAULT_FIELDS if name != "total"), ORDER_FIELDS),
    ("*orders", (*DEFAULT_FIELDS, "orders"), ORDER_FIELDS),
    ("orders.*,-orders", DEFAULT_FIELDS, ORDER_FIELDS),
    ("orders.total,cart_id,orders.seller_id", ("id", "cart_id", "orders"), ("id", "seller_id", "total")),
    ("id,*orders.seller", ("id", "orders"), ("id", "seller")),
    ("*orders,*orders.customer", (*DEFAULT_FIELDS, "orders"), (*ORDER_FIELDS, "customer")),
    (",".join(GROUP_FIELDS), GROUP_FIELDS, ORDER_FIELDS),
)


def shown_as_json(value: Any, name: str = "") -> Any:
    """Times as a response shows them; whole decimals are integers in JSON."""
    if isinstance(value, dict):
        return {key: shown_as_json(child, key) for key, child in value.items()}
    if isinstance(value, list):
        return [shown_as_json(child) for child in value]
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return int(value)
    return iso(value) if name in ORDER_TIMES and value is not None else value


def only_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: only_floats(child) for name, child in value.items()}
    if isinstance(value, list):
        return [only_floats(child) for child in value]
    return float(value) if isinstance(value, Decimal) else value


def random_request(rng: random.Random, groups: Sequence[Group]) -> Request:
    """Of groups of seed.py or the like: values are taken from them, so that most requests match something."""
    request = Request(limit=rng.choice((0, 1, 7, 50, 1000)), offset=rng.choice((0, 0, 1, 20, 200, 5000)))
    request.sort, request.descending = rng.choice(SORT_FIELDS), rng.random() < 0.5
    request.fields, request.names, request.order_names = rng.choice(FIELDS)
    if rng.random() < 0.25:
        request.q = rng.choice(
            (
                "og_",
                "CUS_1",
                "strasse",
                "ß",
                "a",
                "%",
                "_1",
                "ä",
                "日",
                "f\u00ff",
                '","',
                "cus_3",
                "#1",
                "ADA@",
                "ada str",
            )
        )
    if rng.random() < 0.15:
        chosen = [group["id"] for group in rng.sample(groups, min(len(groups), rng.choice((1, 5, 400))))]
        request.any_of["id"] = [*chosen, "og_unknown"]
    pools = {"customer_id": CUSTOMERS[2:], "seller_id": SELLERS, "status": STATUSES, "sales_channel_id": CHANNELS[1:]}
    seldom = {"payment_status": PAYMENTS[:4], "fulfillment_status": FULFILLMENTS[:3], "currency_code": ("EUR", "usd")}
    for name, pool in {**pools, **seldom}.items():
        if rng.random() < (0.1 if name in seldom else 0.3):
            wanted = [str(value) for value in rng.sample(pool, min(len(pool), rng.choice((1, 1, 2, 3))))]
            request.any_of[name] = [*wanted, *rng.choice(((), ("nobody",)))]
    for name in RANGE_FIELDS:
        if rng.random() < 0.2:
            request.ranges[name] = random_operators(rng, groups, name)
    return request


def with_counts(rng: random.Random, request: Request) -> Request:
    """The same with facets and sums, or one of both."""
    fields = [*FACET_FIELDS]
    rng.shuffle(fields)
    request.facets = {name: rng.random() < 0.4 for name in fields[: rng.choice((0, 1, 1, 2, 6))]}
    request.facet_limit = rng.choice((1, 3, 20, 20, 100))
    request.sums = not request.facets or rng.random() < 0.5
    return request


def random_operators(rng: random.Random, groups: Sequence[Group], name: str) -> dict[str, Any]:
    def value() -> Any:
        group = rng.choice(groups)
        if group[name] is None:
            return 7
        return group[name] + rng.choice((0, 0, 1, -1))

    chosen = rng.sample(("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin"), rng.choice((1, 1, 2, 3)))
    return {key: [value() for _ in range(rng.choice((1, 3)))] if key in ("$in", "$nin") else value() for key in chosen}


def filters_string(rng: random.Random, request: Request) -> str:
    """The filters of a request alone."""
    return _written(rng, _filters(rng, request))


def query_string(rng: random.Random, request: Request) -> str:
    pairs = [("limit", str(request.limit)), ("offset", f"{request.offset}{rng.choice(('', '.9', 'rows'))}")]
    pairs.append(("order", ("-" if request.descending else "") + request.sort))
    if request.fields is not None:
        pairs.append(("fields", request.fields))
    if request.facets:
        names = [f"{name}:all" if is_open else name for name, is_open in request.facets.items()]
        pairs.extend([("facets", ",".join(names))] if rng.random() < 0.7 else list_pairs(rng, "facets", names))
    if request.facet_limit != 20:
        pairs.append(("facet_limit", str(request.facet_limit)))
    if request.sums:
        pairs.append(("sums", "total"))
    return _written(rng, pairs + _filters(rng, request))


def _filters(rng: random.Random, request: Request) -> list[tuple[str, str]]:
    pairs = [("q", request.q)] if request.q else []
    for name, values in request.any_of.items():
        pairs.extend(list_pairs(rng, name, values))
    for name, operators in request.ranges.items():
        for key, operand in operators.items():
            path = rng.choice((f"{name}[{key}]", f"{name}.{key}"))
            if isinstance(operand, list):
                pairs.extend(list_pairs(rng, path, [written(name, value) for value in operand]))
            else:
                pairs.append((path, written(name, operand)))
    return pairs


def _written(rng: random.Random, pairs: list[tuple[str, str]]) -> str:
    rng.shuffle(pairs)
    return "&".join(f"{rng.choice((str, quote))(name)}={quote(value, safe='')}" for name, value in pairs)


def list_pairs(rng: random.Random, name: str, values: Sequence[str]) -> list[tuple[str, str]]:
    if len(values) == 1 and "," in values[0]:
        return [(name, values[0])]  # in brackets it would be split
    style = rng.choice(("repeated", "brackets", "indexed", "commas"))
    if style == "commas" and not any("," in value for value in values):
        return [(f"{name}[]", ",".join(values))]
    if style == "indexed":
        return [(f"{name}[{n}]", value) for n, value in enumerate(values)]
    return [(name + ("[]" if style == "brackets" else ""), value) for value in values]


def written(name: str, value: Any) -> str:
    return iso(value) if name in TIME_FIELDS else f"{value}"
