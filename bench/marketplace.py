"""A marketplace of any size with known shares of values. The same seed and size give the same events.

Shares are of the groups, at any size: one seller sells in a tenth of them, four fifths are pending, half came through
one channel. Groups are drawn in their final state; their events lead to it, in order of time. Groups and events are
streamed, so memory stays constant.
"""

import heapq
import random
from base64 import b32hexencode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate, islice
from typing import Any, NamedTuple

import msgspec

from events.logs.log import Entry
from events.logs.open import open_log
from events.publisher import STRUCTURED

SEED = 1
# The history ends here: "the last 60 days" precede it.
UNTIL = datetime(2026, 6, 1, tzinfo=UTC)
DAYS = 400
# The shop grows: the first share s of all groups comes in the first s ** GROWTH of the days.
GROWTH = 0.8
# An import: IMPORT_SHARE of the groups comes within IMPORT_MS, after IMPORT_AFTER of all; then none for some days.
IMPORT_SHARE, IMPORT_AFTER, IMPORT_MS = 0.05, 0.4, 8000

BIG_SELLER = "sel_00000"
BIG_SELLER_SHARE = 0.1
# Status of a group's orders -> share of the groups; `requires_action` with the web channel has 0.2 %.
STATUSES = {"pending": 0.8, "completed": 0.1, "archived": 0.066, "draft": 0.03, "requires_action": 0.004}
# One order of a group of several was canceled, so that a group may have two statuses.
CANCELED_SHARE = 0.05
CHANNELS = {"sc_web": 0.5, "sc_app": 0.3, "sc_store": 0.15, "sc_partner": 0.05}
GUESTS_SHARE = 0.1
GROUPS_PER_CUSTOMER = 4
# Besides the big seller: a long tail, of which the first sells in 3 % of the groups.
OTHER_SELLERS = 2_000
ORDERS = {1: 0.4, 2: 0.3, 3: 0.2, 4: 0.1}
# Average time from checkout to the final status.
LATER = timedelta(days=3)

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_UNTIL_MS = int(UNTIL.timestamp() * 1000)
_SPAN_MS = DAYS * 86_400_000
_LATER_MS = LATER / timedelta(milliseconds=1)
_APPEND_EVENTS = 5_000


class Order(NamedTuple):
    id: str
    display_id: int
    seller_id: str
    status: str
    total_cents: int
    updated_ms: int


class Group(NamedTuple):
    """Every order is created with the group, in `pending`."""

    id: str
    display_id: int
    cart_id: str
    customer_id: str | None
    sales_channel_id: str
    created_ms: int
    orders: list[Order]

    @property
    def total_cents(self) -> int:
        return sum(order.total_cents for order in self.orders)


class Filled(NamedTuple):
    events: int
    groups: int
    orders: int


def groups(number: int) -> Iterator[Group]:
    """Yields groups in order of checkout: a growing number per day, and an import."""
    chance = random.Random(SEED)
    sellers = _Sellers(chance)
    for n in range(number):
        created_ms = _checkout_ms((n + chance.random()) / number)
        time = "".join([_ALPHABET[created_ms >> 5 * place & 31] for place in range(9, -1, -1)])
        customer = int(chance.random() ** 1.5 * number / GROUPS_PER_CUSTOMER)
        (status,) = chance.choices([*STATUSES], [*STATUSES.values()])
        (size,) = chance.choices([*ORDERS], [*ORDERS.values()])
        canceled = chance.randrange(size) if size > 1 and chance.random() < CANCELED_SHARE else None
        orders = []
        for i, seller in enumerate(sellers.draw(size)):
            last = "canceled" if i == canceled else status
            later_ms = 0 if last == "pending" else int(chance.expovariate(1 / _LATER_MS)) + 1
            orders.append(
                Order(
                    _id(chance, "order", time),
                    n * 10 + i,
                    seller,
                    last,
                    int(100 * chance.lognormvariate(3.7, 0.9)),
                    min(created_ms + later_ms, _UNTIL_MS),
                )
            )
        yield Group(
            _id(chance, "og", time),
            n + 1000,
            _id(chance, "cart", time),
            None if chance.random() < GUESTS_SHARE else f"cus_{customer:07}",
            chance.choices([*CHANNELS], [*CHANNELS.values()])[0],
            created_ms,
            orders,
        )


def _checkout_ms(share: float) -> int:
    """Returns the time at which that share of all groups exists, in Unix milliseconds."""
    imported = (share - IMPORT_AFTER) / IMPORT_SHARE
    if 0 <= imported < 1:
        return IMPORTED_MS + int(imported * IMPORT_MS)
    return _grown(share)


def _grown(share: float) -> int:
    return _UNTIL_MS - _SPAN_MS + int(share**GROWTH * _SPAN_MS)


# The start of the import, in Unix milliseconds.
IMPORTED_MS = _grown(IMPORT_AFTER)


def events(made: Iterator[Group]) -> Iterator[tuple[str, bytes]]:
    """Yields (group id, CloudEvent) in order of time."""
    later: list[tuple[int, int, str, dict[str, Any]]] = []
    number = 0
    for group in made:
        while later and later[0][0] < group.created_ms:
            number += 1
            yield _updated(number, *heapq.heappop(later))
        for order in group.orders:
            number += 1
            yield _created(number, group, order)
            if order.status != "pending":
                heapq.heappush(later, (order.updated_ms, order.display_id, group.id, _patch(group, order)))
    while later:
        number += 1
        yield _updated(number, *heapq.heappop(later))


def fill(url: str, number: int) -> Filled:
    """Writes the events of that many groups to a new log."""
    orders = 0

    def counted() -> Iterator[Group]:
        nonlocal orders
        for group in groups(number):
            orders += len(group.orders)
            yield group

    written, stream = 0, events(counted())
    with open_log(url, {}) as log:
        log.create()
        while entries := [Entry(key.encode(), value, STRUCTURED) for key, value in islice(stream, _APPEND_EVENTS)]:
            log.append(entries)
            written += len(entries)
    return Filled(written, number, orders)


def time_text(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Sellers:
    """Draws sellers: the big one, and the long tail with falling weights."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._names = [f"sel_{n:05}" for n in range(1, OTHER_SELLERS + 1)]
        self._weights = list(accumulate(1 / (n + 10) for n in range(OTHER_SELLERS)))

    def draw(self, number: int) -> list[str]:
        """Returns that many different sellers."""
        drawn = {BIG_SELLER} if self._chance.random() < BIG_SELLER_SHARE else set()
        while len(drawn) < number:
            drawn.update(self._chance.choices(self._names, cum_weights=self._weights, k=number - len(drawn)))
        return sorted(drawn)


def _id(chance: random.Random, prefix: str, time: str) -> str:
    """An id as long as Medusa's: a prefix, ten characters of time, sixteen random ones."""
    return f"{prefix}_{time}{b32hexencode(chance.randbytes(10)).decode()}"


def _created(number: int, group: Group, order: Order) -> tuple[str, bytes]:
    at = time_text(group.created_ms)
    data = {
        "id": order.id,
        "order_group_id": group.id,
        "version": 1,
        "display_id": order.display_id,
        "seller_id": order.seller_id,
        "customer_id": group.customer_id,
        "sales_channel_id": group.sales_channel_id,
        "status": "pending",
        "currency_code": "eur",
        "total": order.total_cents / 100,
        "cart_id": group.cart_id,
        "order_group_display_id": group.display_id,
        "created_at": at,
        "updated_at": at,
    }
    return group.id, _event(number, "order.created", at, data)


def _patch(group: Group, order: Order) -> dict[str, Any]:
    return {
        "id": order.id,
        "order_group_id": group.id,
        "version": 2,
        "status": order.status,
        "updated_at": time_text(order.updated_ms),
    }


def _updated(number: int, ms: int, display_id: int, group_id: str, data: dict[str, Any]) -> tuple[str, bytes]:
    return group_id, _event(number, "order.updated", data["updated_at"], data)


def _event(number: int, kind: str, at: str, data: dict[str, Any]) -> bytes:
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": f"evt_{number:010}",
            "source": "/bench/marketplace",
            "type": kind,
            "time": at,
            "data": data,
        }
    )
