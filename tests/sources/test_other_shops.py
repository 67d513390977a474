"""Shops whose ids, tables, rows or database are of another kind."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psycopg
import pytest

from events.contract.decode import EVENT_BYTES_MAX, decode
from events.errors import BadSource, InvalidEvent, SourceUnavailable
from events.logs.open import open_log, sqlite_url
from events.sources import backfill, check
from events.sources.backfill import begin_backfill
from events.sources.check import List
from events.sources.database import connected
from events.sources.mapping import Mapping, Table, load_mapping
from events.sources.marks import problems, read_marks, store_marks
from events.sources.schema import install
from tests.servers.postgres import PostgresServer
from tests.servers.process import wait_until
from tests.sources import expected
from tests.sources.conftest import Publishing, owner_of, set_up
from tests.sources.mercur import Mercur
from tests.sources.plain import ONE, TABLES, TWO, Shop, add

WAIT_S = 20.0


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "orders.db"


@pytest.fixture
def mapping() -> Mapping:
    return load_mapping("plain")


def published(url: str, mapping: Mapping, log: Path) -> None:
    """Backfills, and returns once no note is left."""
    with connected(url) as connection, Publishing(url, mapping, log):
        begin_backfill(connection, mapping)
        left = "SELECT count(*) + (SELECT count(*) FROM order_group_source.state WHERE backfilling)"
        notes = f"{left} FROM order_group_source.notes"
        wait_until(lambda: connection.execute(notes.encode()).fetchall() == [(0,)], WAIT_S, "the backfill")


# --- numbers as ids ---


def test_a_backfill_in_chunks_reads_all_numbers(
    plain: Shop, empty_url: str, mapping: Mapping, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sorted as texts, 2 comes after 19."""
    monkeypatch.setattr(backfill, "CHUNK", 5)
    orders = [add(plain, ONE, 1, number) for number in range(25)]
    set_up(empty_url, mapping)
    published(empty_url, mapping, log)
    assert expected.told(log).keys() == {(order, ONE) for order in orders}


def test_a_comparison_in_chunks_reads_all_numbers(
    plain: Shop, empty_url: str, mapping: Mapping, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "BATCH", 5)
    orders = [add(plain, ONE, 1, number) for number in range(25)]
    set_up(empty_url, mapping)
    with connected(empty_url) as connection, open_log(sqlite_url(log), {}) as opened:
        opened.create()
        nothing = List(lambda ids: [], lambda: [])
        found = check.check(connection, mapping, nothing, opened, note=False, shown=100, settle_s=0)
    assert {one.order for one in found.differences} == set(orders)
    assert (found.orders, found.differing) == (25, 25)


def test_a_query_need_not_turn_ids_into_texts(plain: Shop, empty_url: str, mapping: Mapping, log: Path) -> None:
    """Otherwise no row would be that of a noted pair, and each order would be published as gone."""
    query = mapping.query.replace("::text AS id", " AS id").replace("::text AS order_group_id", " AS order_group_id")
    assert query.count("::text") == mapping.query.count("::text") - 2
    other = msgspec.structs.replace(mapping, query=query)
    set_up(empty_url, other)
    with Publishing(empty_url, other, log):
        order = add(plain, ONE, 1, 5)
        wait_until(lambda: expected.told(log).keys() == {(order, ONE)}, WAIT_S, "the order")
        plain.execute("UPDATE orders SET checkout_id = %s", [TWO])
        wait_until(lambda: expected.told(log).keys() == {(order, TWO)}, WAIT_S, "its move")


# --- tables ---


def test_a_table_that_replaces_another_gets_a_trigger(plain: Shop, empty_url: str, mapping: Mapping) -> None:
    """The trigger stays with the former table, whatever its name is."""
    set_up(empty_url, mapping)
    with connected(empty_url) as connection:
        begin_backfill(connection, mapping)
        plain.execute("ALTER TABLE orders RENAME TO former")
        plain.execute("CREATE TABLE orders (LIKE former INCLUDING ALL)")
        store_marks(connection, read_marks(connection, mapping))
        assert "orders: its trigger is missing" in "".join(problems(connection, mapping))
        assert install(connection, mapping) == ["orders"]
        store_marks(connection, read_marks(connection, mapping))
        assert problems(connection, mapping) == []
        order = add(plain, ONE, 1, 5)
        plain.execute("UPDATE former SET state = 'x'")
        noted = connection.execute("SELECT place, new FROM order_group_source.notes").fetchall()
    assert noted == [("orders", [order, ONE])]


@pytest.mark.parametrize(
    "bypass",
    [
        "TRUNCATE orders",
        "TRUNCATE orders_1",
        "ALTER TABLE orders DETACH PARTITION orders_1",
        "ALTER TABLE orders ATTACH PARTITION filled FOR VALUES FROM (1000) TO (2000)",
        "ALTER TABLE orders_1 DISABLE TRIGGER USER",
    ],
)
def test_what_bypasses_the_trigger_of_a_partition_is_a_problem(
    plain: Shop, empty_url: str, mapping: Mapping, bypass: str
) -> None:
    plain.execute("DROP TABLE orders")
    plain.execute(
        """
        CREATE TABLE orders (id bigint, checkout_id uuid, shop_id bigint) PARTITION BY RANGE (id);
        CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM (0) TO (1000);
        CREATE TABLE filled (LIKE orders);
        INSERT INTO filled VALUES (1000);
        """
    )
    set_up(empty_url, mapping)
    with connected(empty_url) as connection:
        begin_backfill(connection, mapping)
        plain.execute("INSERT INTO orders VALUES (1)")
        assert connection.execute("SELECT new FROM order_group_source.notes").fetchall() == [(["1", None],)]
        assert problems(connection, mapping) == []
        plain.execute(bypass.encode())
        assert "orders: its trigger may have been bypassed" in "".join(problems(connection, mapping))
        store_marks(connection, read_marks(connection, mapping))
        assert problems(connection, mapping) == []


@pytest.mark.parametrize(("column", "problem"), [("titel", "column shops.titel does not exist"), ("data", "json")])
def test_a_column_that_a_trigger_cannot_compare_is_refused(
    plain: Shop, empty_url: str, mapping: Mapping, column: str, problem: str
) -> None:
    """Otherwise the shop could not write its own table any more."""
    plain.execute("ALTER TABLE shops ADD COLUMN data json DEFAULT '{}'")
    shops = mapping.tables[1]
    wrong = Table("shops", key="id", orders=shops.orders, columns=(column,))
    other = msgspec.structs.replace(mapping, tables=(mapping.tables[0], wrong))
    with pytest.raises(SourceUnavailable, match=problem):
        set_up(empty_url, other)
    plain.execute("UPDATE shops SET title = 'New'")


def test_a_table_that_others_inherit_from_is_refused(plain: Shop, empty_url: str, mapping: Mapping) -> None:
    """The query reads their rows, and the trigger does not see them."""
    plain.execute("CREATE TABLE more () INHERITS (orders)")
    with pytest.raises(BadSource, match=r"orders: expected no tables that inherit from it, .* got more"):
        set_up(empty_url, mapping)


# --- rows ---


def parked(log: Path) -> list[str]:
    """Returns why each event that breaks the contract does."""
    with open_log(sqlite_url(log), {}) as opened:
        reader, end = opened.read(opened.first()), opened.end()
        found = []
        while records := reader.poll(1.0, 1000, end):
            for record in records:
                try:
                    decode(record.value, record.headers)
                except InvalidEvent as problem:
                    found.append(str(problem))
        reader.close()
    return found


def test_an_order_that_cannot_be_read_blocks_no_other(
    shop: Mercur, empty_url: str, mercur2: Mapping, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    set_up(empty_url, mercur2)
    groups = [shop.checkout(["sel_1", "sel_2"]) for _ in range(3)]
    published(empty_url, mercur2, log)
    before, broken = expected.told(log), shop.groups[groups[1]][0]
    total = "UPDATE order_summary SET totals = %s WHERE order_id = %s"
    shop.sql(total, '{"raw_current_order_total": {"value": "1.000,00"}}', broken)
    shop.sql("UPDATE \"order\" SET status = 'completed'")
    published(empty_url, mercur2, log)
    assert f"order {broken} breaks the contract: invalid input syntax for type numeric" in caplog.text
    assert set(parked(log)) == {"$.data.order_group_id: required in order.updated, got nothing"}
    assert {pair: fields["status"] for pair, fields in expected.told(log).items()} == {
        pair: "pending" if pair[0] == broken else "completed" for pair in before
    }
    shop.sql(total, '{"raw_current_order_total": {"value": "1000"}}', broken)
    published(empty_url, mercur2, log)
    assert expected.told(log)[broken, groups[1]]["status"] == "completed"


def test_a_query_that_fails_for_no_order_waits(plain: Shop, empty_url: str, mapping: Mapping, log: Path) -> None:
    other = msgspec.structs.replace(mapping, query=mapping.query.replace("o.total_cents / 100.0", "1 / 0"))
    set_up(empty_url, other)
    add(plain, ONE, 1, 5)
    with Publishing(empty_url, other, log) as relay:
        wait_until(lambda: relay.watch.waiting is not None, WAIT_S, "the relay to wait")
        assert relay.watch.problems()[0] == "waiting for source: the shop's database: division by zero"
    assert expected.events(log) == []


def test_an_order_whose_texts_are_too_long_blocks_no_other(
    plain: Shop, empty_url: str, mapping: Mapping, log: Path
) -> None:
    """Kafka would refuse an event as large as its texts, again and again."""
    long, other = add(plain, ONE, 1, 5), add(plain, TWO, 1, 5)
    plain.execute("UPDATE orders SET buyer_email = repeat('x', %s) WHERE id = %s", [2 * EVENT_BYTES_MAX, long])
    set_up(empty_url, mapping)
    published(empty_url, mapping, log)
    assert [reason.partition(":")[0] for reason in parked(log)] == ["$.data.email"]
    assert (other, TWO) in expected.told(log)
    assert max(len(msgspec.json.encode(event)) for event in expected.events(log)) < EVENT_BYTES_MAX


def test_rows_that_a_policy_hides_are_not_gone(empty_url: str, mapping: Mapping, log: Path) -> None:
    with owner_of(empty_url) as url, psycopg.connect(url, autocommit=True) as shop:
        shop.execute(TABLES)
        set_up(url, mapping)
        order = add(shop, ONE, 1, 5)
        published(url, mapping, log)
        shop.execute("ALTER TABLE orders ENABLE ROW LEVEL SECURITY")
        shop.execute("ALTER TABLE orders FORCE ROW LEVEL SECURITY")
        with psycopg.connect(empty_url) as admin:
            admin.execute("UPDATE orders SET state = 'completed'")
        with Publishing(url, mapping, log) as relay:
            wait_until(lambda: relay.watch.waiting is not None, WAIT_S, "the relay to wait")
            assert "row-level security" in relay.watch.problems()[0]
            shop.execute("ALTER TABLE orders DISABLE ROW LEVEL SECURITY")
            wait_until(lambda: expected.told(log)[order, ONE]["status"] == "completed", WAIT_S, "the order")
    assert all(event["deleted_at"] is None for event in expected.events(log))


# --- databases ---


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ("ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'", ""),
        ("ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'", ""),
        ("", "datestyle = 'German'"),
        ("", "timezone = 'Asia/Kathmandu'"),
        ("", "statement_timeout = 1"),
        ("", "default_transaction_isolation = 'serializable'"),
    ],
)
def test_what_a_database_is_set_to_changes_no_event(
    postgres: PostgresServer, mapping: Mapping, log: Path, options: str, setting: str
) -> None:
    name = f"set_{log.parent.name}".lower().translate({ord(one): "_" for one in "[]-"})
    url = postgres.url(name)
    with postgres.connect() as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 {options}".encode())
        try:
            with psycopg.connect(url, autocommit=True, client_encoding="utf8") as shop:
                shop.execute(TABLES)
                shop.execute("UPDATE shops SET title = 'Caf\u00e9'")
                order = add(shop, ONE, 1, 1050)
                if setting:
                    admin.execute(f"ALTER DATABASE {name} SET {setting}".encode())
                set_up(url, mapping)
                published(url, mapping, log)
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
    (event,) = expected.events(log)
    assert (event["id"], event["order_group_id"], event["seller_name"]) == (order, ONE, "Caf\u00e9")
    assert event["total"] == "10.5000000000000000"
    assert datetime.fromisoformat(event["created_at"]) == datetime(2026, 6, 1, 10, tzinfo=UTC)
