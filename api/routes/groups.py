"""`GET /admin/order-groups` and `GET /admin/order-groups/{id}`."""

from functools import lru_cache, partial

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
from api.page import read_page
from api.params.query import parse_list, parse_one
from api.requests import Client, conditions_of, query_string, segments, unchanged
from api.splice import document_of, one_body, pick
from api.walk import link
from projector.readmodel.query.engine import Engine
from projector.readmodel.query.plan import cost
from projector.readmodel.query.query import Query

LIST_PATH = "/admin/order-groups"

# Parsed query strings in the cache, and the longest of them in characters: 4 MB at most.
CACHED_QUERIES_MAX = 1000
CACHED_QUERY_CHARACTERS_MAX = 500


def list_route(engine: Engine, waiting: Waiting, work: Work) -> RuledRoute:
    async def list_groups(request: Request) -> Response:
        query = _parse(query_string(request))
        conditions = conditions_of(request)
        exchange = exchange_of(request.scope)
        client = Client(request)
        if response := await unchanged(conditions, engine, waiting, client):
            return response
        admitted = partial(work.run, identity_of(request.scope).name, cost(query), partial(read_page, engine, query))
        page = await waiting.fresh(conditions.minimum, admitted, client)
        answer = page.answer
        exchange.plan = answer.plan
        exchange.rows = len(answer.rows)
        linked = link(answer.next, request.scope["raw_path"], request.scope["query_string"])
        return errors.json_response(page.body, headers=conditions.headers(answer.snapshot) | linked)

    # A plain route of Starlette: FastAPI's parsing would cost more than the answer.
    return RuledRoute(LIST_PATH, list_groups, Access.CREDENTIALS, slash=True)


def one_route(engine: Engine, waiting: Waiting) -> RuledRoute:
    """Returns the route; to be put behind all others below the list's path."""

    async def one_group(request: Request) -> Response:
        group_id = segments(request)[-1]
        if not group_id:
            raise HTTPException(404)
        fields = parse_one(query_string(request))
        conditions = conditions_of(request)
        client = Client(request)
        response = await unchanged(conditions, engine, waiting, client)
        # A matching tag proves that the group is in that snapshot; `*` does not.
        if response and (not conditions.is_wildcard or await engine.contains(group_id)):
            return response
        found = await waiting.fresh(conditions.minimum, partial(engine.one, group_id), client)
        if found.record is None:
            return errors.not_found(f"OrderGroup id not found: {group_id}", {HEADER: found.snapshot.text})
        whole = document_of(group_id, found.record, with_relations=bool(fields.relations))
        return errors.json_response(one_body(pick(whole, fields, None)), headers=conditions.headers(found.snapshot))

    return RuledRoute(LIST_PATH + "/{id:path}", one_group, Access.CREDENTIALS, slash=True)


def _parse(query_string: str) -> Query:
    """Cached: clients repeat the same few query strings."""
    return _parse_cached(query_string) if len(query_string) <= CACHED_QUERY_CHARACTERS_MAX else parse_list(query_string)


_parse_cached = lru_cache(CACHED_QUERIES_MAX)(parse_list)
