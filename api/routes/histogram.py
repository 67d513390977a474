"""The route of histograms."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from api import errors
from api.counted import histogram_body
from api.freshness.waiting import Waiting
from api.middleware.access import Access, RuledRoute
from api.middleware.auth import identity_of
from api.middleware.work import Work
from api.params.query import parse_histogram
from api.requests import Client, conditions_of, query_string, unchanged
from projector.readmodel.query.engine import Engine
from projector.readmodel.query.histogram import histogram
from projector.readmodel.query.plan import HISTOGRAM_COST

HISTOGRAM_PATH = "/admin/order-groups/histogram"


def histogram_route(engine: Engine, waiting: Waiting, work: Work) -> RuledRoute:
    async def histogram_of(request: Request) -> Response:
        asked = parse_histogram(query_string(request))
        conditions = conditions_of(request)
        client = Client(request)
        if response := await unchanged(conditions, engine, waiting, client):
            return response
        read = partial(histogram, engine, asked.filters, asked.unit, sums=asked.sums)
        admitted = partial(work.run, identity_of(request.scope).name, HISTOGRAM_COST, read)
        found = await waiting.fresh(conditions.minimum, admitted, client)
        body = histogram_body(found, asked.unit, sums=asked.sums)
        return errors.json_response(body, headers=conditions.headers(found.snapshot))

    return RuledRoute(HISTOGRAM_PATH, histogram_of, Access.CREDENTIALS, slash=True)
