"""Exceptions of the API, and its error responses.

ApiError
├── ConfigError         a setting is wrong
├── OwnLimit            the client has too much work in progress: 429
├── TooMuchWork         all clients together have: 503
└── WorkerFailed        a worker process cannot serve

InvalidRequest          see params/query.py: 400

ReadModelError          see projector/readmodel/client/errors.py
├── Unavailable         Redis does not answer, or refuses: 503
│   └── NotYet          X-Min-Position was not reached in time: 503
└── ReadModelFault      the read model is inconsistent: 500
"""

import msgspec
from starlette.responses import Response

from projector.readmodel.client.errors import Unavailable

# Seconds in Retry-After. A failover of Redis, or a queue of requests, is over in about that time.
RETRY_AFTER_S = 1
_LATER = {"Retry-After": str(RETRY_AFTER_S)}


class ApiError(Exception):
    """The base class. The text is one line."""


class ConfigError(ApiError, ValueError):
    """The text begins with the name of the environment setting that is wrong."""


class OwnLimit(ApiError):
    """The client has too much work in progress."""


class TooMuchWork(ApiError):
    """All clients together have too much work in progress."""


class WorkerFailed(ApiError):
    """A worker process ended before it served. Its own log has the reason."""


class NotYet(Unavailable):
    """The read model did not reach X-Min-Position within the time that a request waits."""


def problem(status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> Response:
    return json_response(msgspec.json.encode({"type": kind, "message": message}), status, headers)


def unauthorized() -> Response:
    return json_response(msgspec.json.encode({"message": "Unauthorized"}), 401, {"WWW-Authenticate": "Bearer"})


def invalid(message: str) -> Response:
    return problem(400, "invalid_data", message)


def not_found(message: str, headers: dict[str, str] | None = None) -> Response:
    return problem(404, "not_found", message, headers)


def unavailable(message: str = "The order groups cannot be read at the moment. Try again.") -> Response:
    return problem(503, "unavailable", message, _LATER)


def busy() -> Response:
    return unavailable("Too many requests at once. Try again.")


def overdue() -> Response:
    return unavailable("The answer took too long. Try again.")


def unverifiable() -> Response:
    return unavailable("The credentials cannot be checked at the moment. Try again.")


def not_yet() -> Response:
    return unavailable("The order groups do not reflect X-Min-Position yet. Try again.")


def too_many(message: str = "Too much of your work is in progress. Try again.") -> Response:
    return problem(429, "too_many_requests", message, _LATER)


def unknown() -> Response:
    body = {"code": "unknown_error", "type": "unknown_error", "message": "An unknown error occurred."}
    return json_response(msgspec.json.encode(body), 500)


def json_response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, media_type="application/json")
