"""A shop whose orders go straight to Redis, and what a list must answer between any two of its commits."""

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import redis

from api.params.query import parse_list
from api.splice import document
from projector.readmodel.query.page.listing import Answer
from projector.readmodel.query.query import Query
from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests.fields import DEFAULT_FIELDS, GROUP_FIELDS
from tests.integration.committing import commit
from tests.integration.naive import Request, counted, matches, ordered, shown
from tests.integration.queries import query_string, shown_as_json
from tests.integration.seed import Group
from tests.integration.test_differential import Events, change, created_events, event, ties_in

CHANGED = "og:{0.0}:changed"


class Shop:
    """Commits events of random orders, and knows the groups that they make."""

    def __init__(self, redis_url: str) -> None:
        self.rng = random.Random(31)
        self.events = Events()
        self.store = Store(Nodes(redis_url))
        # Untyped, for its stubs mix up texts and bytes.
        self.client: Any = redis.Redis.from_url(redis_url)
        self._generation = self.store.generation()
        created = created_events(self.rng)
        self._created = [one["data"] for one in created if one["type"] == "order.created"]
        for start in range(0, len(created), 1000):
            self.commit(created[start : start + 1000])

    def commit(self, events: Sequence[dict[str, Any]]) -> None:
        start = len(self.events.events)
        assert commit(self.store, self._generation, list(events), start or None) == "STORED"
        self.events.events.extend(events)

    def change(self, orders: int) -> None:
        if not orders:
            return
        number = len(self.events.events)
        self.commit(
            [
                change(self.rng, number + n, self.rng.choice(self._created), 10 + number)
                if self.rng.random() < 0.8
                else self._another(number + n)
                for n in range(orders)
            ]
        )

    def _another(self, number: int) -> dict[str, Any]:
        data = {**self.rng.choice(self._created), "id": f"order_{number}", "order_group_id": f"og_later_{number}"}
        return event(number, "order.created", data)

    def swap_change(self) -> int:
        """As if Redis had lost the newest change, and got another one since. Returns its number."""
        ((member, number),) = self.client.zpopmax(CHANGED)
        name, _, members = member.split(b":", 2)
        self.client.zadd(CHANGED, {b"%b:%b:%b" % (name, b"0" * 16, members): number})
        return int(number)

    def groups(self, found: Answer) -> list[Group]:
        """Those of the instant that an answer tells."""
        (reflected,) = found.positions.values()
        return self.events.at(reflected)


@contextmanager
def opened(redis_url: str) -> Iterator[Shop]:
    shop = Shop(redis_url)
    yield shop
    shop.store.nodes.close()
    shop.client.close()


def check(found: Answer, shop: Shop, request: Request) -> None:
    passing = [one for one in shop.groups(found) if matches(one, request)]
    matching = ordered(passing, request.sort, request.descending, ties_in(shop.client, 1))
    documents = map(document, found.rows, found.records) if found.records else found.rows
    rows = json.loads(b"[%b]" % b",".join(documents), parse_float=Decimal)
    assert found.count == len(matching)
    page = matching[request.offset : request.offset + request.limit]
    # Not what is picked of them: the documents as they are stored, or the default fields.
    stored = Request(names=GROUP_FIELDS if set(request.names) - set(DEFAULT_FIELDS) else DEFAULT_FIELDS)
    assert rows == [shown_as_json(shown(group, stored)) for group in page]
    wanted = counted(shop.groups(found), request, passing).get("facets", {})
    facets = [[{"value": value, "count": number} for value, number in values] for values in found.counted.facets]
    # In the order in which the query string has them.
    assert sorted(facets, key=str) == sorted(wanted.values(), key=str)


def asked(rng: random.Random, request: Request) -> Query:
    return parse_list(query_string(rng, request))
