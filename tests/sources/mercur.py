"""A marketplace in SQL: what Mercur 2.3.1 writes, in its transactions, as measured with the real one."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

TABLES = (Path(__file__).parent / "mercur.sql").read_text()
SELLERS = ("sel_1", "sel_2", "sel_3", "sel_4")
CUSTOMERS = ("cus_1", "cus_2")

_ITEM_ZEROS = (
    "shipped_quantity, return_requested_quantity, return_received_quantity, return_dismissed_quantity, "
    "written_off_quantity"
)


class Mercur:
    """Each `sql` commits. `groups`: the ids of the orders of each group made."""

    def __init__(self, url: str, name: str = "") -> None:
        self.connection = psycopg.connect(url, autocommit=True)
        self.groups: dict[str, list[str]] = {}
        self._name = name
        self._numbers = itertools.count(1)

    def create(self) -> None:
        """Makes the tables, sellers and customers."""
        self.connection.execute(TABLES.encode())
        for seller in SELLERS:
            self.sql("INSERT INTO seller (id, name, handle, email, currency_code) VALUES (%s, %s, %s, %s, 'eur')",
                     seller, f"Seller {seller}", seller, f"{seller}@shop.test")  # fmt: skip
        for customer in CUSTOMERS:
            self.sql("INSERT INTO customer (id, first_name, last_name, email) VALUES (%s, 'Ada', %s, %s)",
                     customer, customer, f"{customer}@shop.test")  # fmt: skip

    def sql(self, query: str, *values: object) -> int:
        return self.connection.execute(query.encode(), values or None).rowcount

    def checkout(self, sellers: Sequence[str] = SELLERS[:2], customer: str | None = "cus_1") -> str:
        """Returns the id of the new group: four transactions, the links to the group last."""
        number = f"{self._name}{next(self._numbers)}"
        group, cart, collection = f"og_{number}", f"cart_{number}", f"pay_{number}"
        orders = [f"order_{number}_{i}" for i in range(len(sellers))]
        amount = sum(range(10, 10 + len(sellers)))
        self.sql(
            "INSERT INTO payment_collection (id, currency_code, amount, raw_amount, status, captured_amount, "
            "refunded_amount) VALUES (%s, 'eur', %s, '{}', 'authorized', 0, 0)",
            collection,
            amount,
        )
        self.sql("INSERT INTO cart_payment_collection (id, cart_id, payment_collection_id) VALUES (%s, %s, %s)",
                 f"l_{cart}", cart, collection)  # fmt: skip
        self.sql("INSERT INTO order_group (id, customer_id, cart_id, display_id) "
                 "VALUES (%s, %s, %s, nextval('order_group_display_id_seq'))", group, customer, cart)  # fmt: skip
        with self.connection.transaction():
            for i, order in enumerate(orders):
                self._order(order, customer, f"{10 + i}.5")
        with self.connection.transaction():
            for order, seller in zip(orders, sellers, strict=True):
                self.sql("INSERT INTO order_order_seller_seller (id, order_id, seller_id) VALUES (%s, %s, %s)",
                         f"ls_{order}", order, seller)  # fmt: skip
        with self.connection.transaction():
            for order in orders:
                self.sql("INSERT INTO order_group_order (id, order_id, order_group_id) VALUES (%s, %s, %s)",
                         f"lg_{order}", order, group)  # fmt: skip
                self.sql("INSERT INTO order_cart (id, order_id, cart_id) VALUES (%s, %s, %s)",
                         f"lc_{order}", order, cart)  # fmt: skip
        self.groups[group] = orders
        return group

    def _order(self, order: str, customer: str | None, total: str) -> None:
        self.sql(
            'INSERT INTO "order" (id, customer_id, sales_channel_id, email, currency_code) '
            "VALUES (%s, %s, 'sc_1', 'ada@shop.test', 'eur')",
            order,
            customer,
        )
        self.summary(order, total)
        self.sql(
            f"INSERT INTO order_item (id, order_id, version, item_id, quantity, raw_quantity, fulfilled_quantity, "
            f"{_ITEM_ZEROS}) VALUES (%s, %s, 1, %s, 2, '{{}}', 0, 0, 0, 0, 0, 0)",
            f"item_{order}",
            order,
            f"line_{order}",
        )

    def summary(self, order: str, total: str) -> None:
        self.sql(
            "INSERT INTO order_summary (id, order_id, version, totals) SELECT %s || version, id, version, "
            "jsonb_build_object('raw_current_order_total', jsonb_build_object('value', %s::text)) "
            'FROM "order" WHERE id = %s',
            f"sum_{order}_",
            total,
            order,
        )

    def change(self, order: str, total: str = "10.5", more: str = "") -> None:
        """An order change: a new version, with a summary and items of its own, in one transaction."""
        with self.connection.transaction():
            self.sql(
                f'UPDATE "order" SET version = version + 1, updated_at = clock_timestamp(){more} WHERE id = %s', order
            )
            self.summary(order, total)
            self.sql(
                f"INSERT INTO order_item (id, order_id, version, item_id, quantity, raw_quantity, fulfilled_quantity, "
                f"{_ITEM_ZEROS}) SELECT i.id || '+', i.order_id, o.version, i.item_id, i.quantity, '{{}}', "
                f'i.fulfilled_quantity, 0, 0, 0, 0, 0 FROM order_item i JOIN "order" o ON o.id = i.order_id '
                "WHERE o.id = %s AND i.version = o.version - 1",
                order,
            )

    def fulfil(self, order: str, name: str = "") -> None:
        self.sql("INSERT INTO fulfillment (id, location_id, packed_at) VALUES (%s, 'loc', now())", f"ful_{order}{name}")
        self.sql("INSERT INTO order_fulfillment (id, order_id, fulfillment_id) VALUES (%s, %s, %s)",
                 f"lf_{order}{name}", order, f"ful_{order}{name}")  # fmt: skip
        self.change(order)
        self.sql("UPDATE order_item SET fulfilled_quantity = quantity WHERE order_id = %s", order)

    def close(self) -> None:
        self.connection.close()


Transition = Callable[[Mercur, str, str], object]


def _sql(query: str) -> Transition:
    """`%(o)s` is an order, `%(g)s` its group."""
    return lambda shop, group, order: shop.connection.execute(query.encode(), {"o": order, "g": group})


def _then(*transitions: Transition) -> Transition:
    return lambda shop, group, order: [transition(shop, group, order) for transition in transitions]


def _changed(total: str = "10.5", more: str = "") -> Transition:
    return lambda shop, group, order: shop.change(order, total, more)


def _sent(time: str) -> Transition:
    return _sql(f"UPDATE fulfillment SET {time} = now() WHERE id = 'ful_' || %(o)s")


def _moved(shop: Mercur, group: str, order: str) -> None:
    other = shop.checkout()
    shop.sql("UPDATE order_group_order SET order_group_id = %s WHERE order_id = %s", other, order)


def _moved_by_two_links(shop: Mercur, group: str, order: str) -> None:
    other = shop.checkout()
    with shop.connection.transaction():
        shop.sql("UPDATE order_group_order SET deleted_at = now() WHERE order_id = %s", order)
        shop.sql("INSERT INTO order_group_order (id, order_id, order_group_id) VALUES ('x', %s, %s)", order, other)


def _refused(shop: Mercur, group: str, order: str) -> None:
    """A payment that is refused: Mercur deletes what it has made, the last first."""
    orders = shop.groups[group]
    shop.sql("DELETE FROM order_cart WHERE order_id = ANY(%s)", orders)
    shop.sql("DELETE FROM order_group_order WHERE order_group_id = %s", group)
    shop.sql("DELETE FROM order_order_seller_seller WHERE order_id = ANY(%s)", orders)
    shop.sql('DELETE FROM "order" WHERE id = ANY(%s)', orders)
    shop.sql("DELETE FROM order_group WHERE id = %s", group)


def _all_at_once(shop: Mercur, group: str, order: str) -> None:
    with shop.connection.transaction():
        for one in shop.groups[group]:
            shop.sql("UPDATE \"order\" SET status = 'completed', updated_at = now() WHERE id = %s", one)


_FULFIL: Transition = lambda shop, group, order: shop.fulfil(order)  # noqa: E731
_DISMISS = _sql("UPDATE order_group_order SET deleted_at = now() WHERE order_id = %(o)s")
_DELETE = _sql('UPDATE "order" SET deleted_at = now(), updated_at = now() WHERE id = %(o)s')
_DELETE_GROUP = _sql("UPDATE order_group SET deleted_at = now(), updated_at = now() WHERE id = %(g)s")
_OF_CART = (
    "WHERE id = (SELECT payment_collection_id FROM cart_payment_collection JOIN order_cart USING (cart_id) "
    "WHERE order_id = %(o)s)"
)
_CAPTURE = _sql(f"UPDATE payment_collection SET captured_amount = amount, status = 'completed' {_OF_CART}")

# What happens to an order of a group of two. Transitions made of several have the same kind of change last.
TRANSITIONS: dict[str, Transition] = {
    "checkout of one seller": lambda shop, group, order: shop.checkout(SELLERS[:1]),
    "checkout of four sellers": lambda shop, group, order: shop.checkout(SELLERS),
    "checkout of a guest": lambda shop, group, order: shop.checkout(customer=None),
    "order canceled": _changed(more=", status = 'canceled', canceled_at = now()"),
    "order completed": _sql("UPDATE \"order\" SET status = 'completed', updated_at = now() WHERE id = %(o)s"),
    "order archived": _sql("UPDATE \"order\" SET status = 'archived', updated_at = now() WHERE id = %(o)s"),
    "all orders of a group completed": _all_at_once,
    "e-mail changed": _sql("UPDATE \"order\" SET email = 'new@shop.test', updated_at = now() WHERE id = %(o)s"),
    "metadata changed": _sql("UPDATE \"order\" SET metadata = '{\"a\": 1}', updated_at = now() WHERE id = %(o)s"),
    "edit confirmed": _changed("44.25"),
    "credit line": _changed("3.123456789"),
    "transfer accepted": _changed(more=", customer_id = 'cus_2'"),
    "fulfilment created": _FULFIL,
    "fulfilment canceled": _then(_FULFIL, _sent("canceled_at")),
    "shipment": _then(_FULFIL, _sent("shipped_at"), _changed()),
    "delivery": _then(_FULFIL, _sent("delivered_at")),
    "fulfilment of a part": _then(
        _FULFIL, _sql("UPDATE order_item SET fulfilled_quantity = 1, quantity = 2 WHERE order_id = %(o)s")
    ),
    "fulfilment's link deleted": _then(_FULFIL, _sql("DELETE FROM order_fulfillment WHERE order_id = %(o)s")),
    "return requested": _changed(),
    "return received": _changed("0"),
    "claim requested": _changed(more=", metadata = '{}'"),
    "claim canceled": _then(_changed(), _changed()),
    "payment captured": _CAPTURE,
    "payment captured in part": _sql(f"UPDATE payment_collection SET captured_amount = 1 {_OF_CART}"),
    "payment refunded": _then(_CAPTURE, _sql(f"UPDATE payment_collection SET refunded_amount = amount {_OF_CART}")),
    "payment canceled": _sql(f"UPDATE payment_collection SET status = 'canceled' {_OF_CART}"),
    "payment's link deleted": _sql(
        "DELETE FROM cart_payment_collection WHERE cart_id = (SELECT cart_id FROM order_cart WHERE order_id = %(o)s)"
    ),
    "order deleted": _DELETE,
    "order restored": _then(_DELETE, _sql('UPDATE "order" SET deleted_at = NULL WHERE id = %(o)s')),
    "link dismissed": _DISMISS,
    "link restored": _then(_DISMISS, _sql("UPDATE order_group_order SET deleted_at = NULL WHERE order_id = %(o)s")),
    "link deleted for good": _sql("DELETE FROM order_group_order WHERE order_id = %(o)s"),
    "group deleted": _DELETE_GROUP,
    "group restored": _then(_DELETE_GROUP, _sql("UPDATE order_group SET deleted_at = NULL WHERE id = %(g)s")),
    "group's customer changed": _sql("UPDATE order_group SET customer_id = 'cus_2' WHERE id = %(g)s"),
    "group deleted for good": _sql("DELETE FROM order_group WHERE id = %(g)s"),
    "seller's link dismissed": _sql("UPDATE order_order_seller_seller SET deleted_at = now() WHERE order_id = %(o)s"),
    "another seller": _sql("UPDATE order_order_seller_seller SET seller_id = 'sel_4' WHERE order_id = %(o)s"),
    "seller's new name": _sql("UPDATE seller SET name = 'New' || clock_timestamp() WHERE id = 'sel_1'"),
    "customer's new name": _sql("UPDATE customer SET last_name = 'L' || clock_timestamp() WHERE id = 'cus_1'"),
    "order moved to another group": _moved,
    "order moved by two links": _moved_by_two_links,
    "payment refused": _refused,
    "order deleted for good": _sql('DELETE FROM "order" WHERE id = %(o)s'),
    "by hand: date": _sql("UPDATE \"order\" SET created_at = created_at - interval '9 days' WHERE id = %(o)s"),
    "by hand: channel": _sql("UPDATE \"order\" SET sales_channel_id = 'sc_2' WHERE id = %(o)s"),
    "by hand: currency": _sql("UPDATE \"order\" SET currency_code = 'usd' WHERE id = %(o)s"),
    "by hand: number": _sql('UPDATE "order" SET display_id = 77 WHERE id = %(o)s'),
    "by hand: number of the group": _sql("UPDATE order_group SET display_id = 78 WHERE id = %(g)s"),
    "by hand: total": _sql("UPDATE order_summary SET totals = '{}' WHERE order_id = %(o)s"),
}  # fmt: skip


def rows(connection: "psycopg.Connection[Any]", table: str) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(f"SELECT * FROM {table}".encode()).fetchall()
