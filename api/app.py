"""Routes and wiring of the API."""

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
from api.freshness.conditions import Conditions, parse_conditions
from api.freshness.positions import HEADER
from api.freshness.waiting import Waiting
from api.http.worker_slot import WorkerSlot
from api.middleware.access import Access, RuledRoute, open_paths, served
from api.middleware.accesslog import AccessLog
from api.middleware.admission import Admission, Slots
from api.middleware.gate import Gate
from api.middleware.incident import Incident
from api.middleware.metrics import Metrics
from api.middleware.observe import Observed, Observer, exchange_of
from api.openapi.reference import reference_routes
from api.params.query import InvalidRequest, parse_list, parse_one
from api.splice import list_body, one_body, pick, pick_in_slices
from projector.readmodel.client.errors import Unavailable
from projector.readmodel.query.engine import Engine, Lag
from projector.readmodel.query.plan import heads_suffice
from projector.readmodel.query.query import Query

LIST_PATH = "/admin/order-groups"
METRICS_PATH = "/metrics"
HEALTH = ("/health/live", "/health/ready")

# Parsed query strings in the cache, and the longest of them in characters: 4 MB at most.
CACHED_QUERIES_MAX = 1000
CACHED_QUERY_CHARACTERS_MAX = 500
# Seconds that a scrape waits for Redis. Only the lag is read from there, the other metrics are local.
METRICS_WAIT_S = 0.1


def create_app(config: ApiConfig, slot: WorkerSlot | None = None) -> FastAPI:
    """Returns the application. `slot`: that of this worker process, None if it is the only one.

    `app.state.observer` is for the server, which also reports connections that never become a request.
    """
    redis = config.redis_url, config.redis_wait_ms, config.redis_connections_max
    engine = Engine(*redis, config.ready_lag_max, config.ready_end_age_max_s)
    waiting = Waiting(engine, config.redis_wait_ms, config.projection_wait_ms)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await waiting.close()
        await engine.close()

    # FastAPI cannot describe these routes: they are Starlette's, and the query is a deep object.
    app = FastAPI(
        title="Order groups",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        # Its lookup at each request costs more than our own metrics and access log.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    metrics, slots = Metrics(slot), Slots(config.concurrency_max, config.request_timeout_ms)
    metrics.watch(metrics.in_flight, lambda: slots.taken)
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
    # Each one wraps those added before it.
    app.add_middleware(Admission, slots=slots, exempt_paths=frozenset((*HEALTH, METRICS_PATH)))
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
        conditions = _conditions(request)
        if isinstance(conditions, InvalidRequest):
            return errors.invalid(conditions.message)
        exchange = exchange_of(request.scope)
        client = _Client(request)
        if conditions.if_none_match:
            snapshot = await waiting.fresh(conditions.minimum, engine.snapshot, client)
            if conditions.match(snapshot):
                return _not_modified(conditions.headers(snapshot))
        answer = await waiting.fresh(conditions.minimum, partial(engine.list, query), client)
        exchange.plan = answer.plan
        exchange.rows = max(0, min(query.limit, answer.count - query.offset))
        if heads_suffice(query):
            rows = answer.rows
        else:
            rows = await pick_in_slices(answer.documents, query.fields, query.values_of("seller_id"))
        body = list_body(rows, answer.count, query.offset, query.limit)
        return errors.json_response(body, headers=conditions.headers(answer.snapshot))

    async def one_group(request: Request) -> Response:
        group_id = _group_id(request.scope["raw_path"])
        if not group_id:
            raise HTTPException(404)
        fields = parse_one(_query_string(request))
        if isinstance(fields, InvalidRequest):
            return errors.invalid(fields.message)
        conditions = _conditions(request)
        if isinstance(conditions, InvalidRequest):
            return errors.invalid(conditions.message)
        client = _Client(request)
        if conditions.if_none_match:
            snapshot = await waiting.fresh(conditions.minimum, engine.snapshot, client)
            # A matching tag proves that the group is in that snapshot; `*` does not.
            if conditions.match(snapshot) and (not conditions.is_wildcard or await engine.contains(group_id)):
                return _not_modified(conditions.headers(snapshot))
        found = await waiting.fresh(conditions.minimum, partial(engine.one, group_id), client)
        if found.document is None:
            return errors.not_found(f"OrderGroup id not found: {group_id}", {HEADER: found.snapshot.text})
        return errors.json_response(
            one_body(pick(found.document, fields, None)), headers=conditions.headers(found.snapshot)
        )

    async def live(_: Request) -> Response:
        return errors.json_response(b'{"status":"live"}')

    async def ready(_: Request) -> Response:
        return errors.json_response(b'{"status":"ready"}') if await engine.ready() else errors.unavailable()

    # Plain Starlette routes: FastAPI's parsing would cost more than the answer.
    return [
        RuledRoute(LIST_PATH, list_groups, Access.CREDENTIALS),
        RuledRoute(LIST_PATH + "/{id:path}", one_group, Access.CREDENTIALS),
        RuledRoute(HEALTH[0], live, Access.OPEN),
        RuledRoute(HEALTH[1], ready, Access.OPEN),
    ]


def _metrics_route(metrics: Metrics, access: Access, engine: Engine) -> RuledRoute:
    async def text(request: Request) -> Response:
        try:
            metrics.set_lag(await engine.lag(METRICS_WAIT_S))
        except Unavailable as error:
            metrics.unavailable(error.refusal)
            metrics.set_lag(Lag(nan, nan))
        body, content_type = metrics.text(request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})

    return RuledRoute(METRICS_PATH, text, access)


def _query_string(request: Request) -> str:
    raw: bytes = request.scope["query_string"]
    return raw.decode("utf-8", "replace")


def _parse(query_string: str) -> Query | InvalidRequest:
    """Cached: clients repeat the same few query strings."""
    return _parse_cached(query_string) if len(query_string) <= CACHED_QUERY_CHARACTERS_MAX else parse_list(query_string)


_parse_cached = lru_cache(CACHED_QUERIES_MAX)(parse_list)


def _conditions(request: Request) -> Conditions | InvalidRequest:
    scope = request.scope
    return parse_conditions(scope["raw_path"] + b"?" + scope["query_string"], scope["headers"])


def _not_modified(headers: dict[str, str]) -> Response:
    return Response(status_code=304, headers=headers)


class _Client:
    """The client of a request, as `Waiting` uses it."""

    __slots__ = ("_request", "release_slot", "retake_slot")

    def __init__(self, request: Request) -> None:
        self._request = request
        exchange = exchange_of(request.scope)
        self.release_slot = exchange.release_slot
        self.retake_slot = exchange.retake_slot

    async def disconnected(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass


def _group_id(raw_path: bytes) -> str:
    """Returns the last segment, percent-decoded once."""
    return unquote(raw_path.decode("ascii", "replace").rpartition("/")[2])


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        headers = dict(error.headers or {})
        return errors.problem(405, "not_allowed", f"Method not allowed: {request.method}", headers)
    return errors.not_found(f"Not found: {request.scope['path']}")


async def _unavailable(request: Request, error: Exception) -> Response:
    """Metric and access log report each request; the log reports an incident once."""
    assert isinstance(error, Unavailable)
    state = request.app.state
    state.observer.metrics.unavailable(error.refusal)
    state.incident.record(str(error), error.refusal, exchange_of(request.scope).request_id.decode("ascii"))
    return errors.unavailable()


async def _not_yet(_: Request, __: Exception) -> Response:
    return errors.not_yet()


async def _unknown(_: Request, __: Exception) -> Response:
    """Answers where `Observed` itself failed; the server logs the traceback."""
    return errors.unknown()
