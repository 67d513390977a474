"""Wiring of the API: the objects that a process has once, routes, middleware."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from api.admin.routes import operator_routes
from api.changes.route import changes_route
from api.changes.subscriptions import Subscriptions
from api.config import ApiConfig
from api.console.files import console_routes
from api.export.route import export_route
from api.freshness.waiting import Waiting
from api.handlers import HANDLERS
from api.http.worker_slot import WorkerSlot
from api.middleware.access import open_paths, served
from api.middleware.accesslog import AccessLog
from api.middleware.admission import Admission, Slots
from api.middleware.cors import Cors
from api.middleware.gate import Gate
from api.middleware.incident import Incident
from api.middleware.jwks import kept
from api.middleware.metrics import Metrics
from api.middleware.observe import Observed, Observer
from api.middleware.work import Work
from api.openapi.reference import reference_routes
from api.page import read_page
from api.routes.explain import explain_route
from api.routes.groups import list_route, one_route
from api.routes.health import HEALTH, METRICS_PATH, health_routes, metrics_route
from api.routes.histogram import histogram_route
from api.routes.order_group import order_group_route
from projector.readmodel.client.reader import Reader
from projector.readmodel.query.engine import Engine


def create_app(config: ApiConfig, slot: WorkerSlot | None = None) -> FastAPI:
    """Returns the application. `slot`: that of this worker process, None if it is the only one.

    `app.state.observer` is for the server, which also reports connections that never become a request, and
    `app.state.subscriptions`, whose streams it ends.
    """
    redis = config.redis_url, config.redis_wait_ms, config.redis_connections_max
    engine = Engine(*redis, config.ready_lag_max, config.ready_end_age_max_s)
    waiting = Waiting(engine, config.redis_wait_ms, config.projection_wait_ms)
    subscriptions = Subscriptions(engine, waiting, partial(read_page, engine), config.subscribers_max)
    # A connection of its own, so that requests of operators delay no list.
    reader = Reader(config.redis_url, config.redis_wait_ms, connections_max=1)
    credentials = config.credentials()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        engine.start()
        async with kept(credentials.keys, metrics.jwks_failures.inc):
            yield
        await subscriptions.close()
        await waiting.close()
        await engine.close()
        await reader.close()

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
    work = Work(config.work_per_client_max, config.work_max)
    metrics, slots = Metrics(slot), Slots(config.concurrency_max, config.request_timeout_ms)
    metrics.watch(metrics.in_flight, lambda: slots.taken)
    metrics.watch(metrics.work, lambda: work.in_progress)
    metrics.watch(metrics.work_waiting, lambda: work.waiting)
    metrics.watch(metrics.waiting, lambda: len(waiting))
    metrics.watch(metrics.subscribers, lambda: len(subscriptions))
    metrics.watch(metrics.followed_lists, lambda: subscriptions.lists)
    routes = served(
        [
            list_route(engine, waiting, work),
            changes_route(subscriptions, work, metrics.events_sent.inc),
            explain_route(engine, work),
            export_route(engine, waiting, work, metrics, config.exports_max),
            histogram_route(engine, waiting, work),
            one_route(engine, waiting),
            order_group_route(engine, waiting, work),
            *operator_routes(reader, config.operators(credentials)),
            *health_routes(engine, credentials.keys),
            metrics_route(metrics, config.metrics_access, engine),
            *reference_routes(config.openapi_access),
            *console_routes(config.console),
        ]
    )
    app.router.routes.extend(routes)
    log = AccessLog(config.access_log, sys.stderr.buffer, metrics.log_lines_lost.inc)
    app.state.incident, app.state.subscriptions = Incident(), subscriptions
    observer = app.state.observer = Observer(metrics, log, [*dict.fromkeys(route.template for route in routes)])
    # Each one wraps those added before it.
    app.add_middleware(Admission, slots=slots, exempt_paths=frozenset((*HEALTH, METRICS_PATH)))
    app.add_middleware(Gate, credentials=credentials, open_paths=open_paths(routes), url_bytes_max=config.url_bytes_max)
    if origins := config.origins():
        app.add_middleware(Cors, origins=origins)
    app.add_middleware(Observed, observer=observer)
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    return app
