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


_UNAVAILABLE_BODY = msgspec.json.encode(
    {"type": "unavailable", "message": "The order groups cannot be read at the moment. Try again."}
)
_NOT_YET_BODY = msgspec.json.encode(
    {"type": "unavailable", "message": "The order groups do not reflect X-Min-Position yet. Try again."}
)
_BUSY_BODY = msgspec.json.encode({"type": "unavailable", "message": "Too many requests at once. Try again."})
_OVERDUE_BODY = msgspec.json.encode({"type": "unavailable", "message": "The answer took too long. Try again."})
_UNVERIFIABLE_BODY = msgspec.json.encode(
    {"type": "unavailable", "message": "The credentials cannot be checked at the moment. Try again."}
)
_UNKNOWN_BODY = msgspec.json.encode(
    {"code": "unknown_error", "type": "unknown_error", "message": "An unknown error occurred."}
)
_UNAUTHORIZED_BODY = msgspec.json.encode({"message": "Unauthorized"})


def problem(status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> Response:
    return json_response(msgspec.json.encode({"type": kind, "message": message}), status, headers)


def unauthorized() -> Response:
    return json_response(_UNAUTHORIZED_BODY, 401, {"WWW-Authenticate": "Bearer"})


def invalid(message: str) -> Response:
    return problem(400, "invalid_data", message)


def not_found(message: str, headers: dict[str, str] | None = None) -> Response:
    return problem(404, "not_found", message, headers)


def unavailable() -> Response:
    return json_response(_UNAVAILABLE_BODY, 503, {"Retry-After": str(RETRY_AFTER_S)})


def busy() -> Response:
    return json_response(_BUSY_BODY, 503, {"Retry-After": str(RETRY_AFTER_S)})


def overdue() -> Response:
    return json_response(_OVERDUE_BODY, 503, {"Retry-After": str(RETRY_AFTER_S)})


def too_many(message: str) -> Response:
    return problem(429, "too_many_requests", message, {"Retry-After": str(RETRY_AFTER_S)})


def own_limit() -> Response:
    return too_many("Too much of your work is in progress. Try again.")


def unverifiable() -> Response:
    return json_response(_UNVERIFIABLE_BODY, 503, {"Retry-After": str(RETRY_AFTER_S)})


def not_yet() -> Response:
    return json_response(_NOT_YET_BODY, 503, {"Retry-After": str(RETRY_AFTER_S)})


def unknown() -> Response:
    return json_response(_UNKNOWN_BODY, 500)


def json_response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, media_type="application/json")
