"""The answers to exceptions that routes raise."""

from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api import errors
from api.middleware.observe import exchange_of
from api.params.query import InvalidRequest
from projector.readmodel.client.errors import OtherGeneration, TooMuch, Unavailable


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


async def _invalid(_: Request, error: Exception) -> Response:
    return errors.invalid(str(error))


async def _other_generation(_: Request, error: Exception) -> Response:
    return errors.invalid(str(InvalidRequest(str(error))))


async def _too_much(_: Request, error: Exception) -> Response:
    assert isinstance(error, TooMuch)
    return errors.invalid(str(InvalidRequest(f"Too many groups and values to count for field '{error.field}'")))


async def _own_limit(request: Request, _: Exception) -> Response:
    exchange_of(request.scope).refused = "client_work"
    return errors.too_many()


async def _too_much_work(request: Request, _: Exception) -> Response:
    exchange_of(request.scope).refused = "work"
    return errors.busy()


async def _unknown(_: Request, __: Exception) -> Response:
    """Answers where `Observed` itself failed; the server logs the traceback."""
    return errors.unknown()


HANDLERS: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    HTTPException: _http_error,
    Unavailable: _unavailable,
    errors.NotYet: _not_yet,
    InvalidRequest: _invalid,
    OtherGeneration: _other_generation,
    TooMuch: _too_much,
    errors.OwnLimit: _own_limit,
    errors.TooMuchWork: _too_much_work,
    Exception: _unknown,
}
