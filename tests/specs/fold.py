"""Given, when, then: order events go through the fold in memory, and the order groups are read as they are served."""

import json
from collections import Counter
from decimal import Decimal
from typing import Any

from events.logs.log import Partition, Record
from projector.project import Stored, decode_record, group_ids, known, new, project
from projector.readmodel.record.document import whole
from projector.readmodel.schema.tally import Fate

ORDERS = Partition("orders", 0)
Event = dict[str, Any]


class Groups:
    """What Redis holds: records of all groups, fates of events, parked events; and documents of listed groups."""

    def __init__(self) -> None:
        self.documents: dict[str, bytes] = {}
        self.fates: Counter[Fate] = Counter()
        self.parked: list[str] = []
        self._stored: dict[str, Stored] = {}

    def apply(self, *events: Event) -> None:
        """One batch."""
        first = self.fates.total()
        values = [json.dumps(event).encode() for event in events]
        batch = [decode_record(Record(ORDERS, first + n, 0, None, value)) for n, value in enumerate(values)]
        ids = group_ids(batch)
        known_ones = {id: known(id, stored) for id, stored in self._stored.items()}
        change = project({id: known_ones.get(id) or new(len(self._stored) + n) for n, id in enumerate(ids)}, batch)
        for id, (ordinal, _) in change.groups.items():
            if ordinal in change.records:
                self._stored[id] = Stored(ordinal, change.records[ordinal])
                self._show(id)
        self.fates.update(change.tally["orders/0"])
        self.parked += [json.loads(one)["reason"] for one in change.parked.values()]

    def _show(self, group: str) -> None:
        self.documents.pop(group, None)
        if document := whole(group, self._stored[group].record):
            self.documents[group] = document


def given(*events: Event) -> Groups:
    groups = Groups()
    if events:
        groups.apply(*events)
    return groups


def when(groups: Groups, *events: Event) -> None:
    groups.apply(*events)


def then(groups: Groups, group: str) -> Any:
    """The document of the group, its decimals exact; None if it is not listed."""
    document = groups.documents.get(group)
    return json.loads(document, parse_float=Decimal) if document else None


def placed(order: str, group: str, at: str = "10:00", **fields: Any) -> Event:
    """order.created, on the first of June: 30 euros to seller Anna, if the fields do not say otherwise."""
    time = f"2026-06-01T{at}:00Z"
    defaults = {"seller_id": "anna", "status": "pending", "total": 30, "currency_code": "eur", "created_at": time}
    return _event("order.created", order, group, time, defaults | fields)


def updated(order: str, group: str, at: str, **fields: Any) -> Event:
    """order.updated, on the first of June: the fields alone."""
    return _event("order.updated", order, group, f"2026-06-01T{at}:00Z", fields)


def _event(kind: str, order: str, group: str, time: str, fields: dict[str, Any]) -> Event:
    data = {"id": order, "order_group_id": group, "updated_at": time, **fields}
    return {"specversion": "1.0", "id": f"{kind} {order} {time}", "source": "/shop", "type": kind, "data": data}
