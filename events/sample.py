"""Generates events of a realistic marketplace: a few sellers sell most, and orders pass through statuses."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

SELLERS = 200
CUSTOMERS = 5_000
CHANNELS = ("sc_web", "sc_app", "sc_store")
CURRENCIES = ("eur", "usd", "dkk")
# How long before `until` the history begins.
HISTORY = timedelta(days=90)

# Crockford's alphabet, as in the ULIDs that Medusa uses.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# What becomes of an order: status, payment, fulfilment, and how likely that is.
_LATER = (
    ("completed", "captured", "delivered", 0.8),
    ("canceled", "canceled", "not_fulfilled", 0.08),
    ("requires_action", "requires_action", "not_fulfilled", 0.04),
)
_FIRST_NAMES = (
    "Ada",
    "Björn",
    "Chiara",
    "Dmitri",
    "Élise",
    "Fatima",
    "Grace",
    "Hiro",
    "Ingrid",
    "João",
    "Katarína",
    "Linus",
)
_LAST_NAMES = (
    "Lovelace",
    "Nguyễn",
    "Rossi",
    "Petrov",
    "Dubois",
    "Hassan",
    "Hopper",
    "Tanaka",
    "Berg",
    "Silva",
    "Nováková",
)
_SHOPS = (
    "Books",
    "Bicycles",
    "Ceramics",
    "Coffee",
    "Games",
    "Garden",
    "Lamps",
    "Records",
    "Shoes",
    "Tea",
    "Tools",
    "Toys",
)


class Marketplace:
    """Generates CloudEvents as dicts. Equal `seed` and `until` give equal events.

    `is_plain`: without names, e-mail addresses, and statuses of payment and fulfilment.
    """

    def __init__(self, seed: int | str, until: datetime, *, is_plain: bool = False) -> None:
        self._random = random.Random(seed)
        self._until = until
        self._is_plain = is_plain
        self._display_id = 1000

    def history(self) -> Iterator[dict[str, Any]]:
        """Yields checkouts spread over the time before `until`, each with its later events, without end."""
        while True:
            age = self._random.random() ** 2 * HISTORY
            yield from self.checkout(self._until - age)

    def checkout(self, at: datetime) -> Iterator[dict[str, Any]]:
        """Yields the events of one order group that is checked out at `at`, in order."""
        chance = self._random
        group_id, cart_id = self._id("og", at), self._id("cart", at)
        self._display_id += 1
        guest = chance.random() < 0.1
        customer = self._skewed(CUSTOMERS)
        shared = {
            "order_group_id": group_id,
            "order_group_display_id": self._display_id,
            "cart_id": cart_id,
            "customer_id": None if guest else f"cus_{customer:05}",
            "sales_channel_id": chance.choices(CHANNELS, (6, 3, 1))[0],
            "currency_code": chance.choices(CURRENCIES, (7, 2, 1))[0],
            "created_at": _text(at),
        }
        sellers = {self._skewed(SELLERS) for _ in range(chance.choices((1, 2, 3, 4), (5, 3, 1, 1))[0])}
        for number, seller in enumerate(sorted(sellers), 1):
            order = {
                "id": self._id("order", at),
                "version": 1,
                "display_id": self._display_id * 10 + number,
                "seller_id": f"sel_{seller:03}",
                "status": "pending",
                "total": round(chance.lognormvariate(3.7, 0.9), 2),
                "updated_at": _text(at),
                **shared,
            }
            if not self._is_plain:
                order |= _details(customer, seller)
            yield self._event("order.created", order, at)
            yield from self._later(order, at)

    def _later(self, order: dict[str, Any], at: datetime) -> Iterator[dict[str, Any]]:
        for status, payment, fulfillment, likelihood in _LATER:
            if self._random.random() < likelihood:
                at += timedelta(hours=self._random.uniform(0.5, 72))
                if at > self._until:
                    return
                patch = {
                    "id": order["id"],
                    "order_group_id": order["order_group_id"],
                    "version": 2,
                    "status": status,
                    "updated_at": _text(at),
                }
                if not self._is_plain:
                    patch |= {"payment_status": payment, "fulfillment_status": fulfillment}
                yield self._event("order.updated", patch, at)
                return

    def _event(self, kind: str, data: dict[str, Any], at: datetime) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": self._id("evt", at),
            "source": "/sample/marketplace",
            "type": kind,
            "time": _text(at),
            "data": data,
        }

    def _skewed(self, count: int) -> int:
        """Returns 1 to `count`, small numbers far more often (Pareto)."""
        return min(int(self._random.paretovariate(0.6)), count)

    def _id(self, prefix: str, at: datetime) -> str:
        ms = int(at.timestamp() * 1000)
        time = "".join(_ALPHABET[ms >> 5 * digit & 31] for digit in range(9, -1, -1))
        return f"{prefix}_{time}{''.join(self._random.choices(_ALPHABET, k=16))}"


def _details(customer: int, seller: int) -> dict[str, Any]:
    """Returns what admins know a customer and a seller by: the same for equal numbers."""
    first, last = _FIRST_NAMES[customer % len(_FIRST_NAMES)], _LAST_NAMES[customer // 12 % len(_LAST_NAMES)]
    return {
        "email": f"customer{customer}@example.com",
        "customer_first_name": first,
        "customer_last_name": last,
        "seller_name": f"{_LAST_NAMES[seller % len(_LAST_NAMES)]} {_SHOPS[seller % len(_SHOPS)]} {seller}",
        "payment_status": "authorized" if customer % 4 else "not_paid",
        "fulfillment_status": "not_fulfilled",
    }


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
