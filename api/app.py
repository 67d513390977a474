"""Routes and wiring: credentials, then the query, then one script, then bytes."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from math import nan
from urllib.parse import unquote

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api import errors
from api.config import ApiConfig
from api.freshness.conditions import Conditions, conditions
from api.freshness.positions import HEADER
from api.freshness.waiting import Waiting
from api.http.worker_slot import WorkerSlot
from api.middleware.access import Access, RuledRoute, open_paths, served
from api.middleware.accesslog import AccessLog
from api.middleware.admission import Admission, Places
from api.middleware.gate import Gate
from api.middleware.incident import Incident
from api.middleware.metrics import Metrics
from api.middleware.observe import Observed, Observer, exchange_of
from api.openapi.reference import reference_routes
from api.params.query import InvalidRequest, parse_list, parse_one
from api.splice import list_body, one_body, pick, pick_in_slices
from projector.readmodel.client.errors import Unavailable
from projector.readmodel.query.engine import Behind, Engine
from projector.readmodel.query.plan import heads_suffice
from projector.readmodel.query.query import Query

LIST_PATH = "/admin/order-groups"
METRICS_PATH = "/metrics"
HEALTH = ("/health/live", "/health/ready")

# How many parsed query strings are remembered, and the longest of them in characters: some 4 MB at the most.
KNOWN_QUERIES = 1000
KNOWN_QUERY_MAX = 500
# How long a scrape waits for Redis, of which it wants to know the lag: most of what it tells is known without.
METRICS_WAIT_S = 0.1


def create_app(config: ApiConfig, slot: WorkerSlot | None = None) -> FastAPI:
    """`app.state.observer` is for the server, which sees what never becomes a request. `slot`: one of several."""
    redis = config.redis_url, config.redis_wait_ms, config.redis_connections_max
    engine = Engine(*redis, config.ready_lag_max, config.ready_end_age_max_s)
    waiting = Waiting(engine, config.redis_wait_ms, config.projection_wait_ms)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await waiting.close()
        await engine.close()

    # FastAPI would describe routes it does not know: these are Starlette's, and the query is a deep object.
    app = FastAPI(
        title="Order groups",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        # Looked up for each request, that costs more than our own metrics and log.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    metrics, places = Metrics(slot), Places(config.concurrency_max, config.request_timeout_ms)
    metrics.watch(metrics.in_flight, lambda: places.taken)
    metrics.watch(metrics.waiting, lambda: len(waiting))
    routes = served(
        [
            *_routes(engine, waiting),
            *reference_routes(config.openapi_access),
            _metrics_route(metrics, config.metrics_access, engine),
        ]
    )
    app.router.routes.extend(routes)
    log = AccessLog(config.access_log, sys.stderr.buffer, metrics.log_lines_lost.inc)
    app.state.incident = Incident()
    observer = app.state.observer = Observer(metrics, log, [route.path_format for route in routes])
    # Each is put around those before it.
    app.add_middleware(Admission, places=places, open_to_all=frozenset((*HEALTH, METRICS_PATH)))
    app.add_middleware(
        Gate, credentials=config.credentials(), open_paths=open_paths(routes), url_bytes_max=config.url_bytes_max
    )
    app.add_middleware(Observed, observer=observer)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Unavailable, _unavailable)
    app.add_exception_handler(errors.NotYet, _not_yet)
    app.add_exception_handler(Exception, _unknown)
    return app


def _routes(engine: Engine, waiting: Waiting) -> list[RuledRoute]:
    async def list_groups(request: Request) -> Response:
        query = _parse(_query_string(request))
        if isinstance(query, InvalidRequest):
            return errors.invalid(query.message)
        asked = _conditions(request)
        if isinstance(asked, InvalidRequest):
            return errors.invalid(asked.message)
        exchange = exchange_of(request.scope)
        client = _Client(request)
        if asked.known:
            instant = await waiting.fresh(asked.minimum, engine.now, client)
            if asked.met_by(instant):
                return _not_modified(asked.headers(instant))
        answer = await waiting.fresh(asked.minimum, partial(engine.list, query), client)
        exchange.plan = answer.plan
        exchange.rows = max(0, min(query.limit, answer.count - query.offset))
        if heads_suffice(query):
            rows = answer.rows
        else:
            rows = await pick_in_slices(answer.documents, query.fields, query.any_of("seller_id"))
        body = list_body(rows, answer.count, query.offset, query.limit)
        return errors.json_response(body, headers=asked.headers(answer.instant))

    async def one_group(request: Request) -> Response:
        group_id = _group_id(request.scope["raw_path"])
        if not group_id:
            raise HTTPException(404)
        fields = parse_one(_query_string(request))
        if isinstance(fields, InvalidRequest):
            return errors.invalid(fields.message)
        asked = _conditions(request)
        if isinstance(asked, InvalidRequest):
            return errors.invalid(asked.message)
        client = _Client(request)
        if asked.known:
            instant = await waiting.fresh(asked.minimum, engine.now, client)
            # A tag is of something that was there at that instant; `*` says nothing.
            if asked.met_by(instant) and (not asked.any_will_do or await engine.holds(group_id)):
                return _not_modified(asked.headers(instant))
        found = await waiting.fresh(asked.minimum, partial(engine.one, group_id), client)
        if found.document is None:
            return errors.not_found(f"OrderGroup id not found: {group_id}", {HEADER: found.instant.text})
        return errors.json_response(one_body(pick(found.document, fields, None)), headers=asked.headers(found.instant))

    async def live(_: Request) -> Response:
        return errors.json_response(b'{"status":"live"}')

    async def ready(_: Request) -> Response:
        return errors.json_response(b'{"status":"ready"}') if await engine.ready() else errors.unavailable()

    # Plain Starlette routes: nothing here needs FastAPI's parsing, which would cost more than the answer.
    return [
        RuledRoute(LIST_PATH, list_groups, Access.CREDENTIALS),
        RuledRoute(LIST_PATH + "/{id:path}", one_group, Access.CREDENTIALS),
        RuledRoute(HEALTH[0], live, Access.OPEN),
        RuledRoute(HEALTH[1], ready, Access.OPEN),
    ]


def _metrics_route(metrics: Metrics, access: Access, engine: Engine) -> RuledRoute:
    async def text(request: Request) -> Response:
        try:
            metrics.see(await engine.behind(METRICS_WAIT_S))
        except Unavailable as error:
            metrics.unavailable(error.refusal)
            metrics.see(Behind(nan, nan))
        body, content_type = metrics.text(request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})

    return RuledRoute(METRICS_PATH, text, access)


def _query_string(request: Request) -> str:
    raw: bytes = request.scope["query_string"]
    return raw.decode("utf-8", "replace")


def _parse(query_string: str) -> Query | InvalidRequest:
    """A person pages through few lists, and programs ask the same again and again."""
    return _parse_known(query_string) if len(query_string) <= KNOWN_QUERY_MAX else parse_list(query_string)


_parse_known = lru_cache(KNOWN_QUERIES)(parse_list)


def _conditions(request: Request) -> Conditions | InvalidRequest:
    scope = request.scope
    return conditions(scope["raw_path"] + b"?" + scope["query_string"], scope["headers"])


def _not_modified(headers: dict[str, str]) -> Response:
    return Response(status_code=304, headers=headers)


class _Client:
    """A request, as those see it who let it wait."""

    __slots__ = ("_request", "step_aside", "step_back")

    def __init__(self, request: Request) -> None:
        self._request = request
        exchange = exchange_of(request.scope)
        self.step_aside = exchange.step_aside
        self.step_back = exchange.step_back

    async def gone(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass


def _group_id(raw_path: bytes) -> str:
    """The last segment, decoded exactly once."""
    return unquote(raw_path.decode("ascii", "replace").rpartition("/")[2])


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        headers = dict(error.headers or {})
        return errors.problem(405, "not_allowed", f"Method not allowed: {request.method}", headers)
    return errors.not_found(f"Not found: {request.scope['path']}")


async def _unavailable(request: Request, error: Exception) -> Response:
    """The metric and the access log have every request, the log what is one incident."""
    assert isinstance(error, Unavailable)
    state = request.app.state
    state.observer.metrics.unavailable(error.refusal)
    state.incident.meet(str(error), error.refusal, exchange_of(request.scope).request_id.decode("ascii"))
    return errors.unavailable()


async def _not_yet(_: Request, __: Exception) -> Response:
    return errors.not_yet()


async def _unknown(_: Request, __: Exception) -> Response:
    """The last resort, where the layer that observes fails itself; the server logs the traceback."""
    return errors.unknown()
