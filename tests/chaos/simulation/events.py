"""Generates conflicting events: few orders in few groups, with revisions that often differ only in the tie-break."""

import json
import random
from typing import Any

from events.logs.log import Entry
from tests import oracle, poison

TIMES = [f"2026-06-01T10:00:0{second}.000Z" for second in range(4)]
VALUES: dict[str, tuple[Any, ...]] = {
    "created_at": tuple(TIMES),
    "seller_id": ("sel_1", "sel_2"),
    "status": ("pending", "completed", "canceled"),
    "total": (3700, 74.5, "0.1", "0.2", -3),
    "customer_id": ("cus_1", "cus_2", None),
    "sales_channel_id": ("sc_1", "sc_2", None),
    "currency_code": ("eur", "usd", None),
    "display_id": (1, 2, None),
    "cart_id": ("cart_1", "cart_2", None),
    "order_group_display_id": (1, 7, None),
    "deleted_at": (None, None, TIMES[3]),
    "order_group_created_at": (*TIMES[:2], None),
    "order_group_customer_id": ("cus_1", "cus_2", None),
    "payment_status": ("captured", "not_paid", None),
    "fulfillment_status": ("shipped", "delivered", None),
    "canceled_at": (TIMES[2], None),
    "custom_display_id": ("A-1", None),
    "seller_name": ("Anna", "Bert", None),
    "email": ("ada@example.com", None),
    "customer_name": ("Ada Byron", None),
    "customer_first_name": ("Ada", None),
    "customer_last_name": ("Byron", None),
}
REQUIRED = ("created_at", "seller_id", "status", "total")

_BAD = [bad for bad in poison.POISON if len(bad.value or b"") < 1000]


class Events:
    def __init__(self, chance: random.Random, groups: int | None = None) -> None:
        self._chance = chance
        self.groups = groups or chance.randint(1, 6)
        self._past: list[tuple[oracle.Event | None, Entry]] = []

    def next(self) -> tuple[oracle.Event | None, Entry]:
        """Returns an event for the ledger, None if it breaks the contract, and its entry."""
        chance = self._chance
        dice = chance.random()
        if dice < 0.04:
            bad = chance.choice(_BAD)
            return None, Entry(None, bad.value, bad.headers)
        if dice < 0.14 and self._past:
            return chance.choice(self._past)
        event = self._event()
        if dice > 0.97:
            event["type"] = "order.placed"
        made = event, Entry(event["data"]["order_group_id"].encode(), json.dumps(event).encode())
        self._past.append(made)
        return made

    def _event(self) -> dict[str, Any]:
        chance = self._chance
        group = chance.randrange(self.groups)
        is_created = chance.random() < 0.6
        data: dict[str, Any] = {
            "id": f"order_{group}_{chance.randrange(3)}",
            "order_group_id": f"og_{group}",
            "updated_at": chance.choice(TIMES),
        }
        if chance.random() < 0.5:
            data["version"] = chance.randrange(3)
        for field, values in VALUES.items():
            if (is_created and field in REQUIRED) or chance.random() < 0.3:
                data[field] = chance.choice(values)
        return {
            "specversion": "1.0",
            "id": f"evt_{len(self._past)}_{chance.randrange(10**6)}",
            "source": "/a",
            "type": "order.created" if is_created else "order.updated",
            "data": data,
        }
