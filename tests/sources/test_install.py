"""What `install` adds, what `remove` leaves, and what the triggers note."""

import subprocess
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from events.errors import BadSource, SourceUnavailable
from events.sources.backfill import begin_backfill
from events.sources.database import connected
from events.sources.mapping import Mapping, load_mapping
from events.sources.marks import problems, read_marks, store_marks
from events.sources.schema import install, remove, script
from events.sources.status import read_status
from tests.servers.postgres import home
from tests.servers.process import wait_until
from tests.sources import expected
from tests.sources.conftest import Publishing, owner_of
from tests.sources.mercur import Mercur

MINOR = "run `projector source check --note`"


def dumped(url: str) -> str:
    """The schema of the whole database, as PostgreSQL itself writes it."""
    programs = home()
    assert programs is not None
    command = [str(programs / "pg_dump"), "--schema-only", "--dbname", url]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return "\n".join(line for line in found.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))


def notes(shop: Mercur) -> list[tuple[object, ...]]:
    return shop.connection.execute("SELECT place, old, new FROM order_group_source.notes ORDER BY id").fetchall()


def test_install_twice_changes_nothing(shop: Mercur, empty_url: str, mercur2: Mapping) -> None:
    with connected(empty_url) as connection:
        assert install(connection, mercur2) == [table.name for table in mercur2.tables]
        first, marks = dumped(empty_url), read_marks(connection, mercur2)
        assert install(connection, mercur2) == []
        assert dumped(empty_url) == first
        assert read_marks(connection, mercur2) == marks


def test_the_printed_script_does_the_same(shop: Mercur, empty_url: str, mercur2: Mapping) -> None:
    with connected(empty_url) as connection:
        install(connection, mercur2)
        installed = dumped(empty_url)
        remove(connection)
    subprocess.run(["psql", empty_url, "-v", "ON_ERROR_STOP=1", "-q"], input=script(mercur2), text=True, check=True)
    assert dumped(empty_url) == installed
    with connected(empty_url) as connection:
        assert install(connection, mercur2) == []


def test_remove_leaves_no_trace(shop: Mercur, empty_url: str, mercur2: Mapping) -> None:
    before = dumped(empty_url)
    with connected(empty_url) as connection:
        install(connection, mercur2)
        assert dumped(empty_url) != before
        remove(connection)
        remove(connection)
    assert dumped(empty_url) == before
    shop.checkout()


def test_a_table_in_use_stops_install_and_nothing_is_left(shop: Mercur, empty_url: str, mercur2: Mapping) -> None:
    before = dumped(empty_url)
    with psycopg.connect(empty_url) as other:
        other.execute("LOCK TABLE seller IN ROW EXCLUSIVE MODE")
        with pytest.raises(SourceUnavailable, match="lock timeout"), connected(empty_url) as connection:
            install(connection, mercur2)
    assert dumped(empty_url) == before


def test_a_link_is_noted_with_its_old_and_its_new_pair(shop: Mercur, empty_url: str, mercur2: Mapping) -> None:
    group = shop.checkout(["sel_1"])
    order, other = shop.groups[group][0], shop.checkout(["sel_2"])
    with connected(empty_url) as connection:
        install(connection, mercur2)
    shop.sql("UPDATE order_group_order SET order_group_id = %s WHERE order_id = %s", other, order)
    shop.sql("DELETE FROM order_group_order WHERE order_id = %s", order)
    shop.sql("INSERT INTO order_group_order (id, order_id, order_group_id) VALUES ('l', %s, %s)", order, group)
    assert notes(shop) == [
        ("order_group_order", [order, group], [order, other]),
        ("order_group_order", [order, other], None),
        ("order_group_order", None, [order, group]),
    ]


def test_a_change_of_many_orders_is_one_note(shop: Mercur, empty_url: str, mercur2: Mapping) -> None:
    for _ in range(5):
        shop.checkout(["sel_1"])
    with connected(empty_url) as connection:
        install(connection, mercur2)
    shop.sql("UPDATE seller SET name = 'New' WHERE id = 'sel_1'")
    assert notes(shop) == [("seller", ["sel_1"], ["sel_1"])]
    shop.sql("UPDATE seller SET phone = '1', metadata = '{}' WHERE id = 'sel_1'")
    shop.sql("UPDATE customer SET phone = '1' WHERE id = 'cus_1'")
    assert len(notes(shop)) == 1, "what no order shows is not noted"


def test_writers_need_no_right_on_the_notes(shop: Mercur, empty_url: str, mercur2: Mapping) -> None:
    with connected(empty_url) as connection:
        install(connection, mercur2)
    role = f"writer_{shop.connection.info.dbname}"
    shop.sql(f"CREATE ROLE {role}")
    try:
        shop.sql(f"GRANT UPDATE, SELECT ON seller TO {role}")
        with shop.connection.transaction():
            shop.sql(f"SET LOCAL ROLE {role}")
            shop.sql("SET LOCAL search_path = pg_temp, public")
            shop.sql("UPDATE seller SET name = 'N' WHERE id = 'sel_1'")
        assert notes(shop) == [("seller", ["sel_1"], ["sel_1"])]
    finally:
        shop.sql(f"DROP OWNED BY {role}")
        shop.sql(f"DROP ROLE {role}")


def test_the_owner_of_the_tables_needs_to_be_no_superuser(empty_url: str, mercur2: Mapping, tmp_path: Path) -> None:
    with owner_of(empty_url) as url, closing(Mercur(url)) as shop, connected(url) as connection:
        shop.create()
        install(connection, mercur2)
        begin_backfill(connection, mercur2)
        with Publishing(url, mercur2, tmp_path / "orders.db") as relay:
            shop.checkout()
            wait_until(lambda: len(expected.told(tmp_path / "orders.db")) == 2, 10, "the checkout")
            wait_until(lambda: relay.watch.works and not relay.watch.problems(), 10, "readiness")
            assert read_status(connection, mercur2, 0).works
        remove(connection)


def test_what_is_rolled_back_is_not_noted(shop: Mercur, empty_url: str, mercur2: Mapping) -> None:
    with connected(empty_url) as connection:
        install(connection, mercur2)
    with shop.connection.transaction(force_rollback=True):
        shop.sql("UPDATE seller SET name = 'N' WHERE id = 'sel_1'")
        assert len(notes(shop)) == 1
    assert notes(shop) == []


def test_a_replicating_session_is_noted(shop: Mercur, empty_url: str, mercur2: Mapping) -> None:
    with connected(empty_url) as connection:
        install(connection, mercur2)
    shop.sql("SET session_replication_role = replica")
    shop.sql("UPDATE seller SET name = 'N' WHERE id = 'sel_1'")
    assert len(notes(shop)) == 1


def test_problems_before_all_is_set_up(shop: Mercur, empty_url: str, mercur2: Mapping) -> None:
    with connected(empty_url) as connection:
        assert problems(connection, mercur2) == [
            "nothing is installed: run `projector source install`, then `projector source backfill`"
        ]
        install(connection, mercur2)
        assert problems(connection, mercur2) == ["not all orders are published: run `projector source backfill`"]
        begin_backfill(connection, mercur2)
        assert problems(connection, mercur2) == []


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (["TRUNCATE order_cart"], f"order_cart: its trigger may have been bypassed (TRUNCATE, a restore): {MINOR}"),
        (
            ["ALTER TABLE order_cart DISABLE TRIGGER ALL", "ALTER TABLE order_cart ENABLE ALWAYS TRIGGER {trigger}"],
            f"order_cart: its trigger may have been bypassed (TRUNCATE, a restore): {MINOR}",
        ),
        (
            ["ALTER TABLE order_cart DISABLE TRIGGER USER"],
            "order_cart: its trigger is disabled: run `projector source install`, then `projector source check --note`",
        ),
        (
            ["DROP TRIGGER {trigger} ON order_cart"],
            "order_cart: its trigger is missing: run `projector source install`, then `projector source check --note`",
        ),
        (
            ["CREATE TABLE copy (LIKE order_cart INCLUDING ALL)", "DROP TABLE order_cart",
             "ALTER TABLE copy RENAME TO order_cart"],
            "order_cart: its trigger is missing: run `projector source install`, then `projector source check --note`",
        ),
    ],
)  # fmt: skip
def test_a_bypassed_trigger_is_a_problem_until_the_list_was_compared(
    shop: Mercur, empty_url: str, mercur2: Mapping, statements: list[str], found: str
) -> None:
    with connected(empty_url) as connection:
        install(connection, mercur2)
        begin_backfill(connection, mercur2)
        query = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'order_cart'::regclass AND NOT tgisinternal"
        ((trigger,),) = shop.connection.execute(query).fetchall()
        for statement in statements:
            shop.sql(statement.format(trigger=trigger))
        assert problems(connection, mercur2) == [found]
        install(connection, mercur2)
        begin_backfill(connection, mercur2)
        bypassed = f"order_cart: its trigger may have been bypassed (TRUNCATE, a restore): {MINOR}"
        assert problems(connection, mercur2) == [bypassed], "a backfill does not find orders that are gone"
        store_marks(connection, read_marks(connection, mercur2))
        assert problems(connection, mercur2) == []


def test_another_mapping_replaces_the_triggers(shop: Mercur, empty_url: str, mercur2: Mapping) -> None:
    one, two = mercur2.tables[:2]
    smaller = Mapping("smaller", mercur2.query, (one, two))
    with connected(empty_url) as connection:
        install(connection, mercur2)
        assert problems(connection, smaller) == [
            "the triggers are of another mapping: run `projector source install`, then `projector source check --note`"
        ]
        assert install(connection, smaller) == []
    shop.sql("UPDATE seller SET name = 'N' WHERE id = 'sel_1'")
    assert notes(shop) == []


def test_a_url_must_be_one_of_postgresql() -> None:
    for url in ("mysql://shop", "postgresql://shop?nothing=1"):
        with pytest.raises(BadSource, match="SOURCE_URL: expected postgresql://"), connected(url):
            pass


def test_a_server_that_is_away_is_unavailable() -> None:
    with pytest.raises(SourceUnavailable, match="the shop's database"), connected("postgresql://u@127.0.0.1:1/x"):
        pass


@pytest.mark.parametrize("name", ["mercur2", "plain"])
def test_names_of_mappings_are_shipped(name: str) -> None:
    assert load_mapping(name).source == f"/sources/{name}"
