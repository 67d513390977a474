"""A whole marketplace, published from the beginning: a generated one, and where MERCUR_DUMP names it a real one."""

import gzip
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from events.sources.backfill import begin_backfill
from events.sources.database import connected
from events.sources.mapping import Mapping
from events.sources.snapshot import read_orders
from tests.servers.postgres import home
from tests.servers.process import wait_until
from tests.sources import expected
from tests.sources.conftest import Publishing, dump, new_shop, set_up
from tests.sources.mercur import SELLERS, TRANSITIONS

REAL = "the dump of a real Mercur"


@pytest.fixture(params=["generated", *([REAL] if dump() else [])])
def filled(request: pytest.FixtureRequest, empty_url: str) -> Iterator[tuple[int, int]]:
    """Yields the numbers of groups and of orders."""
    if request.param == REAL:
        programs, path = home(), dump()
        assert programs is not None
        assert path is not None
        sql = gzip.decompress(path.read_bytes())
        subprocess.run([programs / "psql", empty_url, "-q"], input=sql, stdout=subprocess.DEVNULL, check=True)
        yield 47, 113
        return
    with new_shop(empty_url) as shop:
        for transition in TRANSITIONS.values():
            group = shop.checkout(SELLERS[:3])
            transition(shop, group, shop.groups[group][0])
        pairs = expected.orders(shop.connection)
        yield len({group for _, group in pairs}), len(pairs)


def test_all_orders_and_groups_equal(filled: tuple[int, int], empty_url: str, mercur2: Mapping, tmp_path: Path) -> None:
    log = tmp_path / "orders.db"
    with psycopg.connect(empty_url, autocommit=True) as plain, connected(empty_url) as connection:
        wanted = expected.orders(plain)
        assert (len({group for _, group in wanted}), len(wanted)) == filled
        found = read_orders(connection, mercur2, [order for order, _ in wanted]).rows
        assert {pair: fields for pair, fields in found.items() if fields["deleted_at"] is None} == wanted
        set_up(empty_url, mercur2)
        begin_backfill(connection, mercur2)
        with Publishing(empty_url, mercur2, log):
            wait_until(lambda: expected.told(log) == expected.only_fields(wanted), 10, "the backfill")
