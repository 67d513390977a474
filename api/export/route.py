"""The route of exports. Choosing the groups is admitted as a list is, by its cost. `exports_max` limits how many run
at a time.
"""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from api.export.files import file_of
from api.export.stream import ExportResponse, Running
from api.freshness.waiting import Waiting
from api.middleware.access import Access, RuledRoute
from api.middleware.auth import identity_of
from api.middleware.metrics import Metrics
from api.middleware.work import Work
from api.params.export import parse_export
from api.requests import Client, conditions_of, query_string
from projector.readmodel.query.engine import Engine
from projector.readmodel.query.plan import rows_suffice, selection_cost

EXPORT_PATH = "/admin/order-groups/export"


def export_route(engine: Engine, waiting: Waiting, work: Work, metrics: Metrics, exports_max: int) -> RuledRoute:
    """Returns the route. It must come before the route of a single group, whose pattern matches its path, too."""
    running = Running(exports_max)
    metrics.watch(metrics.exports, lambda: running.number)

    async def export(request: Request) -> Response:
        wanted = parse_export(query_string(request))
        conditions = conditions_of(request)
        query = wanted.query
        client, chosen = identity_of(request.scope).name, partial(engine.select, query)
        admitted = partial(work.run, client, selection_cost(query), chosen)
        select = partial(waiting.fresh, conditions.minimum, admitted, Client(request))
        read = partial(engine.read, has_records=not rows_suffice(query))
        return ExportResponse(request, wanted, file_of(wanted), select, read, running, metrics)

    return RuledRoute(EXPORT_PATH, export, Access.CREDENTIALS, slash=True)
