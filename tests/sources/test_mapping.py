"""Mappings are data: the ones that we ship, and what is wrong with others."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from events.errors import BadSource
from events.sources.backfill import begin_backfill
from events.sources.database import connected
from events.sources.mapping import MAPPINGS, Mapping, load_mapping
from events.sources.snapshot import read_orders
from tests.servers.process import wait_until
from tests.sources import expected
from tests.sources.conftest import Publishing, set_up
from tests.sources.plain import ONE, TWO, Shop, add

ROOT = Path(__file__).parents[2]

GOOD = '[[table]]\nname = "orders"\npair = ["id", "checkout_id"]\n'
QUERY = "SELECT id, checkout_id AS order_group_id FROM orders WHERE id = ANY(%s)"


def test_the_docs_show_the_example_as_it_is() -> None:
    page = (ROOT / "docs" / "connecting.md").read_text()
    for name in ("orders.sql", "tables.toml"):
        assert (MAPPINGS / "plain" / name).read_text() in page


@pytest.mark.parametrize(
    ("query", "tables", "problem"),
    [
        ("SELECT 1", GOOD, "orders.sql: expected one %s, the ids of orders, got 0"),
        (QUERY, "", "Object missing required field `table`"),
        (QUERY, "[[table]", "tables.toml: "),
        (QUERY, GOOD + 'size = "x"\n', "Object contains unknown field `size`"),
        (QUERY, '[[table]]\nname = "orders"\n', "orders: expected one of `order`, `pair` and `key`"),
        (QUERY, GOOD + 'order = "id"\n', "orders: expected one of `order`, `pair` and `key`"),
        (QUERY, '[[table]]\nname = "orders"\npair = ["id"]\n', "orders: expected two columns in `pair`"),
        (QUERY, GOOD + '[[table]]\nname = "shops"\nkey = "id"\n', "shops: expected `orders` with one %s"),
        (QUERY, GOOD + GOOD, "expected each table once"),
        (QUERY, GOOD.replace("orders", "a.b_c") + GOOD.replace("orders", "a_b.c"), "expected each table once"),
        (QUERY, GOOD.replace("orders", "t" * 58 + "1") + GOOD.replace("orders", "t" * 58 + "2"), "each table once"),
        (
            QUERY,
            '[[table]]\nname = "shops"\nkey = "id"\norders = "SELECT id FROM orders WHERE shop = ANY(%s)"\n',
            "expected the table of the orders first",
        ),
    ],
)
def test_a_wrong_mapping_is_refused(tmp_path: Path, query: str, tables: str, problem: str) -> None:
    (tmp_path / "orders.sql").write_text(query)
    (tmp_path / "tables.toml").write_text(tables)
    with pytest.raises(BadSource) as refused:
        load_mapping(str(tmp_path))
    assert problem in str(refused.value)


def test_a_mapping_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(BadSource, match="SOURCE_MAPPING: expected mercur2, plain, or a directory"):
        load_mapping("mercur3")


def test_a_query_must_name_order_and_group(empty_url: str) -> None:
    with connected(empty_url) as connection:
        mapping = Mapping("m", "SELECT unnest(%s::text[]) AS id", load_mapping("plain").tables)
        with pytest.raises(BadSource, match=r"expected the columns order_group_id, got \['id'\]"):
            read_orders(connection, mapping, ["1"])


def test_a_plain_table_of_orders(plain: Shop, empty_url: str, tmp_path: Path) -> None:
    log, mapping = tmp_path / "orders.db", load_mapping("plain")
    for number in range(12):
        add(plain, ONE if number < 2 else TWO, 1 + number % 2, 1050 + number)
    set_up(empty_url, mapping)
    with connected(empty_url) as connection:
        begin_backfill(connection, mapping)
    with Publishing(empty_url, mapping, log):
        wait_until(lambda: len(expected.told(log)) == 12, 10, "the backfill")
        assert expected.told(log)["2", ONE] == {
            "seller_id": "2",
            "status": "pending",
            "total": Decimal("10.51"),
            "customer_id": "7",
            "sales_channel_id": None,
            "currency_code": "eur",
            "display_id": 2,
            "created_at": datetime(2026, 6, 1, 10, tzinfo=UTC),
            "updated_at": datetime(2026, 6, 1, 10, tzinfo=UTC),
            "cart_id": None,
            "order_group_display_id": None,
        }
        add(plain, ONE, 1, 99)
        wait_until(lambda: ("13", ONE) in expected.told(log), 5, "a new order")
        plain.execute("UPDATE orders SET checkout_id = %s WHERE id = 1", [TWO])
        wait_until(lambda: ("1", TWO) in expected.told(log) and ("1", ONE) not in expected.told(log), 5, "a move")
        plain.execute("UPDATE orders SET state = 'deleted' WHERE id = 2")
        plain.execute("DELETE FROM orders WHERE id = 3")
        wait_until(lambda: not expected.told(log).keys() & {("2", ONE), ("3", TWO)}, 5, "two deletions")
        events = len(expected.events(log))
        plain.execute("UPDATE shops SET title = 'New' WHERE id = 1")
        wait_until(lambda: len(expected.events(log)) == events + 6, 5, "the orders of a shop")
    assert len(expected.told(log)) == 11
