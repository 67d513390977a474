"""What an export has to hold, from plain groups, and what one holds, read by Python's own csv and json."""

import csv
import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from decimal import Decimal
from io import StringIO
from typing import Any

from tests.integration.naive import Request, Ties, matches, shown
from tests.integration.queries import query_string, shown_as_json
from tests.integration.seed import Group

RELATIONS = ("seller", "customer")
# What a spreadsheet would run.
FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def filters(rng: random.Random, request: Request) -> str:
    """The query string without what a page has."""
    pairs = query_string(rng, request).split("&")
    return "&".join(pair for pair in pairs if pair.partition("=")[0] not in ("limit", "offset", "order"))


def rows(groups: Sequence[Group], request: Request, ties: Ties, *, per_order: bool = False) -> list[dict[str, Any]]:
    """As JSON shows them, in order of arrival; an order's fields beside its group's."""
    found = sorted((group for group in groups if matches(group, request)), key=lambda group: ties[group["id"]])
    return [row for group in found for row in rows_of(group, request, per_order=per_order)]


def rows_of(group: Group, request: Request, *, per_order: bool = False) -> list[dict[str, Any]]:
    """Whether it matches by now or not."""
    document = shown_as_json(shown(group, request))
    return list(_of_orders(document)) if per_order else [document]


def _of_orders(document: Group) -> Iterator[dict[str, Any]]:
    of_group = {name: value for name, value in document.items() if name != "orders"}
    for order in document["orders"]:
        flat = {f"order_{name}": value for name, value in order.items() if name not in RELATIONS}
        related = {f"order_{one}.{name}": value for one in RELATIONS for name, value in order.get(one, {}).items()}
        yield {**of_group, **flat, **related}


def read_csv(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(content.decode("utf-8-sig"), newline=""), strict=True))


def read_ndjson(content: bytes) -> tuple[list[dict[str, Any]], int]:
    """The objects, and how many groups vanished. Compares their number and digest with those of the last line."""
    lines = content.splitlines(keepends=True)
    objects = [json.loads(line, parse_float=Decimal) for line in lines]
    assert content.endswith(b"\n")
    end = objects.pop()["export"]
    assert end["count"] == len(objects)
    assert end["sha256"] == hashlib.sha256(b"".join(lines[:-1])).hexdigest()
    return objects, end["vanished"]


def cells(row: dict[str, Any]) -> dict[str, str]:
    return {name: cell(value) for name, value in row.items()}


def cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        value = ";".join(value)
    if isinstance(value, str):
        return "'" + value if value.startswith(FORMULAS) else value
    return str(value)


def same_cells(found: dict[str, str], row: dict[str, Any], *, exactly: bool = False) -> bool:
    """`orders` as JSON, however that is written. `exactly`: numbers to the byte; else `1.0` of seed.py is 1."""
    wanted, found = cells(row), dict(found)
    for name, value in row.items():
        if not exactly and isinstance(value, int | Decimal) and Decimal(found[name]) == value:
            found[name] = wanted[name]
    if "orders" in row:
        orders = json.loads(found["orders"], parse_float=Decimal)
        return bool(orders == row["orders"]) and {**found, "orders": ""} == {**wanted, "orders": ""}
    return found == wanted
