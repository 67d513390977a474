"""The merge of one order: a last-writer-wins register for each field, ordered by the revision of the event.

Such registers form a join semilattice (Shapiro et al., "Conflict-free Replicated Data Types", 2011), so the
result depends neither on the order of the events nor on how often each is delivered.
"""

from typing import Any

from msgspec import UNSET, Struct

from events.contract.order import FIELDS, OrderEvent, Revision

CREATED_AT, SELLER_ID, STATUS, TOTAL = 0, 1, 2, 3
CUSTOMER_ID, SALES_CHANNEL_ID, CURRENCY_CODE, DISPLAY_ID = 4, 5, 6, 7
CART_ID, GROUP_DISPLAY_ID, DELETED_AT = 8, 9, 10


class Order(Struct, gc=False):
    """Changed in place by `merge`.

    `latest`: the greatest revision seen, which is the order's own updated_at.
    `values`, `revisions`: aligned with FIELDS; a field that no event has set is None in both.
    """

    id: str
    latest: Revision
    values: list[Any]
    revisions: list[Revision | None]

    @property
    def updated_at(self) -> int:
        """Unix microseconds."""
        return self.latest[1]

    @property
    def counted(self) -> bool:
        """Whether the order is not deleted and complete: the four required fields, which cannot be null, are set."""
        values = self.values
        return values[DELETED_AT] is None and None not in values[:4]


def first(event: OrderEvent) -> Order:
    """Returns the order after its first event."""
    values: list[Any] = list(event.values)
    revisions: list[Revision | None] = [event.revision] * len(values)
    for i, value in enumerate(values):
        if value is UNSET:
            values[i] = revisions[i] = None
    return Order(event.order_id, event.revision, values, revisions)


def merge(order: Order, event: OrderEvent) -> bool:
    """Merges the event into the order. Returns whether anything changed."""
    revision = event.revision
    if revision > order.latest:
        order.latest = revision
        changed = True
    else:
        changed = False
    values, revisions = order.values, order.revisions
    for i, value in enumerate(event.values):
        if value is UNSET:
            continue
        known = revisions[i]
        if known is None or revision > known:
            values[i] = value
            revisions[i] = revision
            changed = True
    return changed


assert FIELDS[CREATED_AT] == "created_at"
assert FIELDS[DELETED_AT] == "deleted_at"
