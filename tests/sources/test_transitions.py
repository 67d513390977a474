"""Each kind of change of a marketplace is published within a second, and told as its tables have it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from events.sources.database import connected
from events.sources.mapping import Mapping
from events.sources.snapshot import read_orders
from tests.servers.postgres import PostgresServer
from tests.servers.process import wait_until
from tests.sources import expected
from tests.sources.conftest import Publishing, new_database, new_shop, set_up
from tests.sources.mercur import TRANSITIONS, Mercur

VISIBLE_S = 1.0


class Running(NamedTuple):
    shop: Mercur
    url: str
    log: Path


@pytest.fixture(scope="module")
def running(postgres: PostgresServer, mercur2: Mapping, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("log") / "orders.db"
    with new_database(postgres) as url, new_shop(url) as shop:
        set_up(url, mercur2)
        with Publishing(url, mercur2, log):
            yield Running(shop, url, log)


def differing(running: Running) -> dict[expected.Pair, object]:
    wanted = expected.only_fields(expected.orders(running.shop.connection))
    found = expected.told(running.log)
    return {pair: (wanted.get(pair), found.get(pair)) for pair in wanted.keys() | found.keys()
            if wanted.get(pair) != found.get(pair)}  # fmt: skip


def test_there_are_forty_kinds() -> None:
    assert len(TRANSITIONS) >= 40


@pytest.mark.parametrize("name", TRANSITIONS)
def test_visible_within_a_second(running: Running, mercur2: Mapping, name: str) -> None:
    shop = running.shop
    group = shop.checkout()
    wait_until(lambda: not differing(running), 5, "the checkout")
    events = len(expected.events(running.log))
    TRANSITIONS[name](shop, group, shop.groups[group][0])
    start_s = time.monotonic()
    wait_until(lambda: len(expected.events(running.log)) > events and not differing(running), 5, name)
    took_s = time.monotonic() - start_s
    assert took_s < VISIBLE_S, differing(running)
    # Also what only later releases publish.
    with connected(running.url) as connection:
        wanted = expected.orders(shop.connection)
        found = read_orders(connection, mercur2, [order for order, _ in wanted]).rows
        assert {pair: fields for pair, fields in found.items() if fields["deleted_at"] is None} == wanted
