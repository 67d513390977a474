"""The facts that a relay must respect, each shown on a real PostgreSQL."""

import hashlib
import json
import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from events.sources.backfill import begin_backfill
from events.sources.database import connected
from events.sources.mapping import Mapping
from events.sources.notes import BATCH
from events.sources.schema import remove
from events.sources.status import is_at_work, read_status
from tests.servers.postgres import PostgresServer, home
from tests.servers.process import wait_until
from tests.sources import expected
from tests.sources.conftest import Publishing, new_database, set_up
from tests.sources.mercur import Mercur

WAIT_S = 20.0
MANY = 4 * BATCH


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "orders.db"


@pytest.fixture
def noting(shop: Mercur, empty_url: str, mercur2: Mapping) -> Mercur:
    """A marketplace with triggers."""
    set_up(empty_url, mercur2)
    return shop


def waiting(shop: Mercur) -> int:
    ((found,),) = shop.connection.execute("SELECT count(*) FROM order_group_source.notes").fetchall()
    return int(found)


def is_told(shop: Mercur, log: Path) -> bool:
    return waiting(shop) == 0 and expected.told(log) == expected.only_fields(expected.orders(shop.connection))


def wait_until_told(shop: Mercur, log: Path) -> None:
    wait_until(lambda: is_told(shop, log), WAIT_S, "all orders told")


def versions(log: Path) -> list[int]:
    return [data["version"] for data in expected.events(log)]


class Gate:
    """Holds a relay at one step, once, until `open` is called."""

    def __init__(self, step: str) -> None:
        self._step = step
        self.reached, self._open = threading.Event(), threading.Event()

    def __call__(self, step: str) -> None:
        if step == self._step and not self.reached.is_set():
            self.reached.set()
            assert self._open.wait(WAIT_S)

    def open(self) -> None:
        self._open.set()


# --- a checkout ---


def test_the_four_transactions_of_a_checkout_tell_nothing_before_the_last(
    noting: Mercur, empty_url: str, mercur2: Mapping, log: Path
) -> None:
    steps = (
        "INSERT INTO order_group (id, customer_id, cart_id, display_id) VALUES ('og', 'cus_1', 'cart', 1)",
        "INSERT INTO \"order\" (id, customer_id, currency_code) VALUES ('o', 'cus_1', 'eur')",
        "INSERT INTO order_order_seller_seller (id, order_id, seller_id) VALUES ('l', 'o', 'sel_1')",
        "INSERT INTO order_group_order (id, order_id, order_group_id) VALUES ('l', 'o', 'og')",
    )
    with Publishing(empty_url, mercur2, log):
        for step in steps:
            assert expected.events(log) == []
            noting.sql(step)
            wait_until(lambda: waiting(noting) == 0, WAIT_S, "no note")
    assert [(data["id"], data["order_group_id"], data["seller_id"]) for data in expected.events(log)] == [
        ("o", "og", "sel_1")
    ]


# --- version ---


def test_of_two_open_transactions_the_first_to_note_may_commit_last(
    noting: Mercur, empty_url: str, mercur2: Mapping, log: Path
) -> None:
    group = noting.checkout(["sel_1"])
    (order,) = noting.groups[group]
    with psycopg.connect(empty_url) as first, Publishing(empty_url, mercur2, log):
        wait_until_told(noting, log)
        first.execute("UPDATE order_group SET display_id = 501 WHERE id = %s", [group])
        noting.sql("UPDATE \"order\" SET status = 'completed' WHERE id = %s", order)
        wait_until(lambda: expected.told(log)[order, group]["status"] == "completed", WAIT_S, "the second")
        first.commit()
        wait_until_told(noting, log)
    last = expected.events(log)[-1]
    assert (last["status"], last["order_group_display_id"]) == ("completed", 501)


def test_versions_grow_though_the_clock_is_behind(noting: Mercur, empty_url: str, mercur2: Mapping, log: Path) -> None:
    future = int((time.time() + 3600) * 1_000_000)
    noting.sql("UPDATE order_group_source.state SET version = %s", future)
    with Publishing(empty_url, mercur2, log):
        for _ in range(3):
            noting.checkout(["sel_1"])
            wait_until_told(noting, log)
    found = versions(log)
    assert found == sorted(set(found))
    # Counted on from the last one. A look between the transactions of a checkout draws a version and publishes nothing.
    assert future < found[0] <= found[-1] < future + 100


def test_versions_grow_through_remove_and_install(noting: Mercur, empty_url: str, mercur2: Mapping, log: Path) -> None:
    with Publishing(empty_url, mercur2, log):
        group = noting.checkout(["sel_1"])
        wait_until_told(noting, log)
    with connected(empty_url) as connection:
        remove(connection)
    set_up(empty_url, mercur2)
    with Publishing(empty_url, mercur2, log):
        noting.sql("UPDATE \"order\" SET status = 'archived' WHERE id = %s", noting.groups[group][0])
        wait_until_told(noting, log)
    assert versions(log) == sorted(versions(log))


def test_a_restored_database_wins_with_its_later_changes(
    noting: Mercur, empty_url: str, mercur2: Mapping, log: Path, postgres: PostgresServer
) -> None:
    """And it says that it was restored, since the list still has what was lost."""
    programs = home()
    assert programs is not None
    group = noting.checkout(["sel_1"])
    (order,) = noting.groups[group]
    with Publishing(empty_url, mercur2, log):
        wait_until_told(noting, log)
        backup = subprocess.run([programs / "pg_dump", empty_url], capture_output=True, check=True).stdout
        noting.sql("UPDATE \"order\" SET status = 'completed' WHERE id = %s", order)
        wait_until_told(noting, log)
    with new_database(postgres) as restored_url:
        subprocess.run([programs / "psql", restored_url, "-q"], input=backup, stdout=subprocess.DEVNULL, check=True)
        restored = Mercur(restored_url)
        with Publishing(restored_url, mercur2, log) as publishing, closing(restored):
            restored.sql("UPDATE \"order\" SET status = 'canceled' WHERE id = %s", order)
            wait_until_told(restored, log)
            assert expected.told(log)[order, group]["status"] == "canceled"
            assert publishing.watch.problems() == ["not all orders are published: run `projector source backfill`"]
    assert versions(log) == sorted(versions(log))


@pytest.mark.parametrize("step", ["draw", "read", "publish", "delete"])
def test_a_relay_that_was_paused_and_lost_its_lock_does_no_harm(
    noting: Mercur, empty_url: str, mercur2: Mapping, log: Path, step: str
) -> None:
    gate = Gate(step)
    group = noting.checkout(["sel_1"])
    (order,) = noting.groups[group]
    with Publishing(empty_url, mercur2, log, gate) as paused:
        assert gate.reached.wait(WAIT_S)
        # As the server does when the machine of a relay vanishes.
        noting.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        with Publishing(empty_url, mercur2, log) as second:
            noting.sql("UPDATE \"order\" SET status = 'completed' WHERE id = %s", order)
            wait_until_told(noting, log)
            before = len(expected.events(log))
            # The notes that the first relay read, and one that it did not.
            with psycopg.connect(empty_url) as open_transaction:
                open_transaction.execute("UPDATE \"order\" SET email = 'x' WHERE id = %s", [order])
                gate.open()
                wait_until(lambda: paused.watch.waiting is None and len(expected.events(log)) > before
                           if step == "publish" else not paused.watch.works, WAIT_S, "the first relay")  # fmt: skip
            wait_until_told(noting, log)
            assert second.watch.works
    stale = [data["status"] for data in expected.events(log)].index("completed")
    late = [data for data in expected.events(log)[stale:] if data["status"] == "pending"]
    assert len(late) == (1 if step == "publish" else 0)
    assert all(data["version"] < expected.events(log)[stale]["version"] for data in late)


# --- one relay works ---


def test_of_several_relays_one_works_and_another_takes_over(
    noting: Mercur, empty_url: str, mercur2: Mapping, log: Path
) -> None:
    with Publishing(empty_url, mercur2, log) as second:
        with Publishing(empty_url, mercur2, log) as first:
            wait_until(lambda: first.watch.works or second.watch.works, WAIT_S, "a relay that works")
            noting.checkout()
            wait_until_told(noting, log)
            assert [first.watch.works, second.watch.works].count(True) == 1
        wait_until(lambda: second.watch.works, WAIT_S, "the other relay")
        noting.checkout()
        wait_until_told(noting, log)
    with connected(empty_url) as connection:
        assert not is_at_work(connection)


def test_a_killed_backend_is_replaced(noting: Mercur, empty_url: str, mercur2: Mapping, log: Path) -> None:
    with Publishing(empty_url, mercur2, log) as relay:
        wait_until(lambda: relay.watch.works, WAIT_S, "a relay that works")
        noting.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'projector source' AND datname = current_database()"
        )
        noting.checkout()
        wait_until_told(noting, log)
        wait_until(lambda: relay.watch.waiting is None, WAIT_S, "the end of the outage")
        assert b'order_groups_source_failures_total{on="source"} 1.0' in relay.watch.text("")[0]


def test_without_triggers_a_relay_waits_and_says_so(shop: Mercur, empty_url: str, mercur2: Mapping, log: Path) -> None:
    with Publishing(empty_url, mercur2, log) as relay:
        wait_until(lambda: relay.watch.waiting is not None, WAIT_S, "the relay to wait")
        assert relay.watch.problems() == ["waiting for source: nothing is installed: run `projector source install`"]
        set_up(empty_url, mercur2)
        shop.checkout()
        wait_until_told(shop, log)


# --- notes ---


def test_a_note_is_deleted_once_the_log_has_acknowledged(
    noting: Mercur, empty_url: str, mercur2: Mapping, log: Path
) -> None:
    with Publishing(empty_url, mercur2, log) as relay:
        wait_until(lambda: relay.watch.works, WAIT_S, "a relay that works")
        with closing(sqlite3.connect(log, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            noting.checkout()
            wait_until(lambda: relay.watch.waiting is not None, WAIT_S, "the relay to wait for the log")
            assert relay.watch.problems()[0].startswith(f"waiting for log: {log}: database is locked")
            linked = "SELECT 1 FROM order_group_source.notes WHERE place = 'order_group_order'"
            assert len(noting.connection.execute(linked).fetchall()) == 2
            other.execute("ROLLBACK")
        wait_until_told(noting, log)


def test_a_change_during_a_turn_keeps_its_note(noting: Mercur, empty_url: str, mercur2: Mapping, log: Path) -> None:
    group = noting.checkout(["sel_1"])
    gate = Gate("publish")
    with Publishing(empty_url, mercur2, log, gate):
        assert gate.reached.wait(WAIT_S)
        noting.sql("UPDATE \"order\" SET status = 'completed' WHERE id = %s", noting.groups[group][0])
        gate.open()
        wait_until_told(noting, log)
    assert [data["status"] for data in expected.events(log)] == ["pending", "completed"]


def test_the_id_of_an_event_is_a_hash_of_its_content(
    noting: Mercur, empty_url: str, mercur2: Mapping, log: Path
) -> None:
    with Publishing(empty_url, mercur2, log):
        noting.checkout()
        wait_until_told(noting, log)
    with closing(sqlite3.connect(log)) as connection:
        values = [value for (value,) in connection.execute("SELECT value FROM log")]
    assert len(values) >= 2
    for value in values:
        content = value.split(b'"data":', 1)[1][:-1]
        assert json.loads(value)["id"] == hashlib.blake2b(content, digest_size=16).hexdigest()
    assert len({json.loads(value)["id"] for value in values}) == len(values)


def test_an_order_that_leaves_a_group_is_deleted_there(
    noting: Mercur, empty_url: str, mercur2: Mapping, log: Path
) -> None:
    one, two = noting.checkout(["sel_1", "sel_2"]), noting.checkout(["sel_1"])
    order = noting.groups[one][0]
    with Publishing(empty_url, mercur2, log):
        wait_until_told(noting, log)
        noting.sql("UPDATE order_group_order SET order_group_id = %s WHERE order_id = %s", two, order)
        wait_until_told(noting, log)
    left, joined = expected.events(log)[-1], expected.events(log)[-2]
    assert (left["id"], left["order_group_id"], left["deleted_at"] is not None) == (order, one, True)
    assert (joined["id"], joined["order_group_id"], joined["deleted_at"]) == (order, two, None)
    assert left.keys() == {"id", "order_group_id", "version", "updated_at", "deleted_at"}


@pytest.fixture
def many(shop: Mercur, empty_url: str, mercur2: Mapping) -> Mercur:
    """A seller of MANY orders, each in a group of its own; then triggers."""
    for into, values in {
        "order_group (id, customer_id, cart_id, display_id)": "'og' || i, 'cus_1', 'cart', i",
        '"order" (id, customer_id, currency_code)': "'o' || i, 'cus_1', 'eur'",
        "order_order_seller_seller (id, order_id, seller_id)": "i, 'o' || i, 'sel_1'",
        "order_group_order (id, order_id, order_group_id)": "i, 'o' || i, 'og' || i",
    }.items():
        shop.sql(f"INSERT INTO {into} SELECT {values} FROM generate_series(1, {MANY}) i")
    set_up(empty_url, mercur2)
    return shop


def test_a_change_of_many_orders_does_not_delay_others(
    many: Mercur, empty_url: str, mercur2: Mapping, log: Path
) -> None:
    late: list[str] = []

    def at(step: str) -> None:
        # Between the batches of the bulk work.
        if step == "draw" and not late and len(expected.events(log)) >= BATCH:
            late.append(many.checkout(["sel_2"]))

    many.sql("UPDATE seller SET name = 'New' WHERE id = 'sel_1'")
    assert waiting(many) == 1
    with Publishing(empty_url, mercur2, log, at):
        wait_until_told(many, log)
    groups = [data["order_group_id"] for data in expected.events(log)]
    assert len(groups) == MANY + 1
    assert groups.index(late[0]) <= 3 * BATCH, "in the batch after the one under way"


def test_a_backfill_continues_after_a_stop_and_tells_each_order_once(
    many: Mercur, empty_url: str, mercur2: Mapping, log: Path
) -> None:
    with connected(empty_url) as connection:
        begin_backfill(connection, mercur2)
        with Publishing(empty_url, mercur2, log):
            wait_until(lambda: len(expected.events(log)) >= BATCH, WAIT_S, "the first batch")
        first = read_status(connection, mercur2, 0).backfill
        assert (first.running, first.orders) == (True, MANY)
        assert 0 < first.published < MANY
        with Publishing(empty_url, mercur2, log):
            wait_until_told(many, log)
            wait_until(lambda: not read_status(connection, mercur2, 0).backfill.running, WAIT_S, "its end")
        last = read_status(connection, mercur2, 0)
    assert (last.backfill.published, last.published) == (MANY, MANY)
    assert len(expected.events(log)) == MANY


def test_another_log_gets_all_orders(noting: Mercur, empty_url: str, mercur2: Mapping, log: Path) -> None:
    """As after `rm -r .projector`, or with a new topic."""
    noting.checkout(["sel_1", "sel_2"])
    with Publishing(empty_url, mercur2, log):
        wait_until_told(noting, log)
    other = log.with_name("other.db")
    for _ in range(2):
        with Publishing(empty_url, mercur2, other):
            noting.checkout(["sel_1"])
            wait_until_told(noting, other)
    assert len(expected.events(other)) == 2 + 1 + 1, "the second start finds the log that it knows"


def test_an_order_that_breaks_the_contract_is_published_as_it_is(
    noting: Mercur, empty_url: str, mercur2: Mapping, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    group = noting.checkout(["sel_1", "sel_2"])
    noting.sql(
        'UPDATE order_summary SET totals = \'{"raw_current_order_total": {"value": "1234567890123456"}}\' '
        "WHERE order_id = %s",
        noting.groups[group][0],
    )
    with Publishing(empty_url, mercur2, log):
        wait_until_told(noting, log)
    assert f"order {noting.groups[group][0]} breaks the contract: $.data.total: expected decimal with" in caplog.text


def test_the_backlog_is_a_problem_when_it_grows_old(
    noting: Mercur, empty_url: str, mercur2: Mapping, log: Path
) -> None:
    noting.checkout(["sel_1"])
    noting.sql("UPDATE order_group_source.notes SET noted_at = now() - interval '70 s'")
    gate = Gate("draw")
    with Publishing(empty_url, mercur2, log, gate) as relay:
        assert gate.reached.wait(WAIT_S)
        found = relay.watch.problems()
        gate.open()
    assert found[0].startswith("9 notes wait, the oldest for 7")
