"""`check` finds each kind of difference between tables and list, and no other; `--note` has them published again."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from events.logs.log import Entry
from events.logs.open import open_log, sqlite_url
from events.sources.backfill import begin_backfill
from events.sources.check import Checked, Difference, List, check
from events.sources.database import connected
from events.sources.mapping import Mapping
from events.sources.marks import problems
from projector.cli.source import _listed
from projector.readmodel.schema.generations import State
from projector.readmodel.schema.keys import Generation
from projector.rebuild.builder import Builder
from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests.poison import event
from tests.servers.process import wait_until
from tests.sources import expected
from tests.sources.conftest import Publishing, set_up
from tests.sources.mercur import TRANSITIONS, Mercur

WAIT_S = 20.0
DAY = "2026-06-01T10:00:0"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "orders.db"


def documents(log: Path) -> list[dict[str, Any]]:
    """The list that a log makes, with the fields that are compared; times in milliseconds, as the API has them."""
    groups: dict[str, dict[str, Any]] = {}
    for (order, group), fields in expected.told(log).items():
        own = {**fields, "id": order}
        for name in ("created_at", "updated_at"):
            own[name] = own[name].isoformat(timespec="milliseconds").replace("+00:00", "Z")
        of_group = {"display_id": own.pop("order_group_display_id"), "cart_id": own.pop("cart_id")}
        groups.setdefault(group, {"id": group, "orders": [], **of_group})["orders"].append(own)
    return list(groups.values())


def listed(read: Callable[[], list[dict[str, Any]]]) -> List:
    def of(ids: Sequence[str]) -> list[dict[str, Any]]:
        return [group for group in read() if group["id"] in ids]

    def parts() -> Iterator[list[dict[str, Any]]]:
        found = read()
        yield from (found[start : start + 2] for start in range(0, len(found), 2))

    return List(of, parts)


class Compared:
    """A marketplace with a list that is told by a relay, and `check` of the two."""

    def __init__(self, shop: Mercur, url: str, mapping: Mapping, log: Path) -> None:
        self.shop, self.url, self.mapping, self.log = shop, url, mapping, log

    def settle(self) -> None:
        with Publishing(self.url, self.mapping, self.log):
            wait_until(self.is_told, WAIT_S, "all orders told")

    def is_told(self) -> bool:
        wanted = expected.only_fields(expected.orders(self.shop.connection))
        ((notes,),) = self.shop.connection.execute("SELECT count(*) FROM order_group_source.notes").fetchall()
        return bool(notes == 0) and expected.told(self.log) == wanted

    def check(self, note: bool = False, settle_s: float = 0.0) -> Checked:
        with connected(self.url) as connection, open_log(sqlite_url(self.log), {}) as opened:
            read = listed(lambda: documents(self.log))
            return check(connection, self.mapping, read, opened, note, settle_s=settle_s)

    def problems(self) -> list[str]:
        with connected(self.url) as connection:
            return problems(connection, self.mapping)


@pytest.fixture
def compared(shop: Mercur, empty_url: str, mercur2: Mapping, log: Path) -> Compared:
    set_up(empty_url, mercur2)
    return Compared(shop, empty_url, mercur2, log)


def test_equal_after_each_kind_of_change(compared: Compared) -> None:
    shop = compared.shop
    with Publishing(compared.url, compared.mapping, compared.log):
        for name, transition in TRANSITIONS.items():
            group = shop.checkout()
            transition(shop, group, shop.groups[group][0])
            wait_until(compared.is_told, WAIT_S, name)
            found = compared.check(settle_s=WAIT_S)
            assert (found.differing, found.differences) == (0, []), name
    assert found.orders > 80


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("UPDATE \"order\" SET status = 'archived' WHERE id = %(o)s", ("status", "archived", "pending")),
        ("UPDATE order_summary SET totals = '{}' WHERE order_id = %(o)s", ("total", "0.000000", "10.500000")),
        ("UPDATE \"order\" SET customer_id = NULL WHERE id = %(o)s", ("customer_id", "None", "cus_1")),
        ("UPDATE \"order\" SET display_id = 9 WHERE id = %(o)s", ("display_id", "9", "1")),
        ("UPDATE order_group SET display_id = 9 WHERE id = %(g)s", ("order_group_display_id", "9", "1")),
        ("UPDATE order_order_seller_seller SET seller_id = 'x' WHERE order_id = %(o)s", ("seller_id", "x", "sel_1")),
        ("UPDATE \"order\" SET deleted_at = now() WHERE id = %(o)s", ("", "not there", "there")),
        ('DELETE FROM "order" WHERE id = %(o)s', ("", "not there", "there")),
        ("TRUNCATE order_group_order", ("", "not there", "there")),
    ],
)  # fmt: skip
def test_what_no_trigger_saw_is_found_and_noted(
    compared: Compared, change: str, difference: tuple[str, str, str]
) -> None:
    shop = compared.shop
    with connected(compared.url) as connection:
        begin_backfill(connection, compared.mapping)
    group = shop.checkout(["sel_1"])
    (order,) = shop.groups[group]
    compared.settle()
    for table in compared.mapping.tables:
        shop.sql(f'ALTER TABLE "{table.name}" DISABLE TRIGGER USER')
    shop.connection.execute(change.encode(), {"o": order, "g": group})
    found = compared.check()
    assert (found.differing, found.differences) == (1, [Difference(order, group, *difference)])
    set_up(compared.url, compared.mapping)
    bypassed = compared.problems()
    assert bypassed
    assert all("may have been bypassed" in problem for problem in bypassed)
    assert compared.check(note=True).noted
    assert compared.problems() == []
    compared.settle()
    assert compared.check() == Checked(found.orders, [], 0, False, [])


def test_an_order_that_the_list_lacks_is_found(compared: Compared) -> None:
    compared.shop.checkout(["sel_1"])
    compared.settle()
    compared.shop.sql("DROP SCHEMA order_group_source CASCADE")
    group = compared.shop.checkout(["sel_1"])
    (order,) = compared.shop.groups[group]
    set_up(compared.url, compared.mapping)
    found = compared.check(note=True)
    assert found.differences == [Difference(order, group, "", "there", "not there")]
    compared.settle()
    assert compared.check().differing == 0


def test_what_is_on_its_way_does_not_differ(compared: Compared) -> None:
    with Publishing(compared.url, compared.mapping, compared.log):
        for _ in range(3):
            compared.shop.checkout()
            assert compared.check(settle_s=WAIT_S).differing == 0


@pytest.mark.parametrize("switches", [False, True])
def test_no_group_is_left_out_while_the_list_changes(
    one_redis_url: str, log: Path, monkeypatch: pytest.MonkeyPatch, switches: bool
) -> None:
    """While a group leaves it, and while another generation becomes active."""
    monkeypatch.setattr("events.sources.check.BATCH", 2)
    gone = event(9, "order.updated", id="order_1", order_group_id="og_1", version=2, deleted_at=f"{DAY}0Z")
    seen: list[str] = []
    with (
        open_log(sqlite_url(log), {}) as opened,
        closing(Nodes(one_redis_url)) as nodes,
        # The list, as the command reads it.
        _listed(one_redis_url, personal_data=True) as read,
    ):
        store = Store(nodes)
        opened.create()

        def publish(into: Generation, *events: object) -> None:
            opened.append([Entry(None, json.dumps(one).encode()) for one in events])
            with closing(Builder(opened, store, into, opened.partitions(), lambda call: call())) as builder:
                builder.advance(opened.end())

        first = store.generation()
        publish(first, *(event(number, created_at=f"{DAY}{number}Z") for number in range(1, 7)))
        for groups in read.all():
            if not seen and switches:
                second = store.catalogue.add(1, State.READY, "").generation
                store.open(second)
                publish(second)
                store.catalogue.point(first, second, "")
            elif not seen:
                publish(first, gone)
            seen += [group["id"] for group in groups]
    assert seen[2 * switches :] == [f"og_{number}" for number in range(1, 7)]


def test_other_publishers_are_named(compared: Compared) -> None:
    compared.shop.checkout()
    compared.settle()
    groups = documents(compared.log)
    with connected(compared.url) as connection, open_log(sqlite_url(compared.log), {}) as opened:
        opened.append([Entry(None, b'{"source": "/commerce/orders"}'), Entry(None, None), Entry(None, b"\xff")])
        found = check(connection, compared.mapping, listed(lambda: groups), opened, note=False, settle_s=0)
    assert (found.differing, found.publishers) == (0, ["/commerce/orders"])
