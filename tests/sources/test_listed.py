"""Each kind of change of a marketplace is in the list within a second, and `check` finds both equal."""

import json
import time
from collections.abc import Mapping as Mapped
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from events.sources.mapping import Mapping
from tests.processes import Api, Process, projector
from tests.servers.process import wait_until
from tests.sources import expected
from tests.sources.conftest import set_up
from tests.sources.mercur import TRANSITIONS, Mercur

VISIBLE_S = 1.0

pytestmark = [pytest.mark.thorough, pytest.mark.alone]


def listed(api: Api) -> dict[expected.Pair, expected.Fields]:
    """All orders of the list, in the form of `expected.orders`; times in milliseconds."""
    found = {}
    answer = json.loads(api.get({"limit": 1000, "fields": "*orders,display_id,cart_id"}), parse_float=Decimal)
    for group in answer["order_groups"]:
        of_group = {"order_group_display_id": group["display_id"], "cart_id": group["cart_id"]}
        for order in group["orders"]:
            fields = {**order, **of_group, "total": Decimal(order["total"])}
            found[order["id"], group["id"]] = {name: rounded(fields[name]) for name in expected.FIELDS}
    return found


def wanted(shop: Mercur) -> dict[expected.Pair, expected.Fields]:
    orders = expected.only_fields(expected.orders(shop.connection))
    return {pair: {name: rounded(value) for name, value in fields.items()} for pair, fields in orders.items()}


def rounded(value: Any) -> Any:
    if isinstance(value, str) and value[4:5] == "-" and value.endswith("Z"):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds")
    return value


def test_every_change_is_visible_within_a_second(
    shop: Mercur, empty_url: str, mercur2: Mapping, one_redis_url: str, tmp_path: Path
) -> None:
    set_up(empty_url, mercur2)
    settings: Mapped[str, str] = {"SOURCE_URL": empty_url, "REDIS_URL": one_redis_url}
    with (
        Process("run", cwd=tmp_path, **settings),
        Process("source", "run", cwd=tmp_path, **settings),
        Api(tmp_path, one_redis_url) as api,
    ):
        for name, transition in TRANSITIONS.items():
            group = shop.checkout()
            wait_until(lambda: listed(api) == wanted(shop), 30, "the checkout")
            transition(shop, group, shop.groups[group][0])
            start_s = time.monotonic()
            wait_until(lambda: listed(api) == wanted(shop), 10, name)
            assert time.monotonic() - start_s < VISIBLE_S, name
            done = projector("source", "check", cwd=tmp_path, settings=settings)
            assert (done.returncode, done.stdout[:10]) == (0, "All equal:"), name
