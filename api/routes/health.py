"""What orchestrators and Prometheus read: `/health/live`, `/health/ready`, `/metrics`."""

from math import nan

from starlette.requests import Request
from starlette.responses import Response

from api import errors
from api.middleware.access import Access, RuledRoute
from api.middleware.incident import Readiness
from api.middleware.jwks import KeySet
from api.middleware.metrics import Metrics
from projector.readmodel.client.errors import Unavailable
from projector.readmodel.query.engine import Engine, Lag

METRICS_PATH = "/metrics"
HEALTH = ("/health/live", "/health/ready")

# Seconds that a scrape waits for Redis. Only the lag is read from there, the other metrics are local.
METRICS_WAIT_S = 0.1


def health_routes(engine: Engine, keys: KeySet | None) -> list[RuledRoute]:
    """`keys`: those of JWKS_URL, without which no token can be checked. The log says why the process is not ready: an
    answer without credentials says nothing of Redis.
    """

    async def live(_: Request) -> Response:
        return errors.json_response(b'{"status":"live"}')

    readiness = Readiness()

    async def ready(_: Request) -> Response:
        has_keys = keys is None or keys.is_known
        problem = await engine.problem() if has_keys else "the keys of JWKS_URL have not been read yet"
        readiness.record(problem)
        return errors.json_response(b'{"status":"ready"}') if problem is None else errors.unavailable()

    return [RuledRoute(HEALTH[0], live, Access.OPEN), RuledRoute(HEALTH[1], ready, Access.OPEN)]


def metrics_route(metrics: Metrics, access: Access, engine: Engine) -> RuledRoute:
    async def text(request: Request) -> Response:
        try:
            metrics.set_lag(await engine.lag(METRICS_WAIT_S))
        except Unavailable as error:
            metrics.unavailable(error.refusal)
            metrics.set_lag(Lag(nan, nan))
        body, content_type = metrics.text(request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})

    return RuledRoute(METRICS_PATH, text, access)
