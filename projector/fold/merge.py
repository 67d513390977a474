"""The merge of one order: a last-writer-wins register for each field, ordered by the revision of the event.

Such registers form a join semilattice (Shapiro et al., "Conflict-free Replicated Data Types", 2011), so the
result depends neither on the order of the events nor on how often each is delivered.
"""

from typing import Any

from msgspec import UNSET

from events.contract.order import OrderEvent, Revision
from projector.readmodel.record.order import Order


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
    if changed:
        order.packed = None
    return changed
