"""`GET /admin/orders/{id}/order-group`: the group of an order, found by the order's mark in its line of `text`."""

from functools import partial

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api import errors
from api.freshness.positions import HEADER
from api.freshness.waiting import Waiting
from api.middleware.access import Access, RuledRoute
from api.middleware.auth import identity_of
from api.middleware.observe import exchange_of
from api.middleware.work import Work
from api.params.query import parse_one
from api.requests import Client, conditions_of, not_modified, query_string, segments, unchanged
from api.splice import document, one_body, pick
from projector.readmodel.query.engine import Engine
from projector.readmodel.query.fields import Fields
from projector.readmodel.query.page.listing import Answer
from projector.readmodel.query.plan import cost
from projector.readmodel.query.query import Query
from projector.readmodel.record.view import order_mark

PATH = "/admin/orders/{id:path}/order-group"
# Groups that have an order with this mark. Two orders have the same one with a probability of 2^-48.
CANDIDATES_MAX = 10
# Anything beyond the rows, so that the answer has the records.
_WITH_RECORDS = Fields(("orders",), ("id",))


class _Order(Struct):
    id: str


class _Group(Struct):
    orders: list[_Order]


_group = msgspec.json.Decoder(_Group)


def order_group_route(engine: Engine, waiting: Waiting, work: Work) -> RuledRoute:
    async def order_group(request: Request) -> Response:
        order_id = segments(request)[-2]
        if not order_id:
            raise HTTPException(404)
        fields = parse_one(query_string(request))
        conditions = conditions_of(request)
        client = Client(request)
        # A matching tag proves that the order has a group; `*` does not.
        if not conditions.is_wildcard and (response := await unchanged(conditions, engine, waiting, client)):
            return response
        query = _query(order_id)
        read = partial(work.run, identity_of(request.scope).name, cost(query), partial(engine.list, query))
        answer = await waiting.fresh(conditions.minimum, read, client)
        exchange_of(request.scope).plan = answer.plan
        found = _with_order(answer, order_id, with_relations=bool(fields.relations))
        if found is None:
            return errors.not_found(f"Order id not found: {order_id}", {HEADER: answer.snapshot.text})
        if response := not_modified(conditions, answer.snapshot):
            return response
        return errors.json_response(one_body(pick(found, fields, None)), headers=conditions.headers(answer.snapshot))

    return RuledRoute(PATH, order_group, Access.CREDENTIALS, slash=True)


def _query(order_id: str) -> Query:
    return Query(CANDIDATES_MAX, 0, "created_at", True, order_mark(order_id), None, (), (), _WITH_RECORDS)


def _with_order(answer: Answer, order_id: str, *, with_relations: bool) -> bytes | None:
    """Returns the document of the latest group that lists the order."""
    for row, record in zip(answer.rows, answer.records, strict=True):
        whole = document(row, record, with_relations=with_relations)
        if order_id in [order.id for order in _group.decode(whole).orders]:
            return whole
    return None
