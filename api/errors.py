"""Everything the API answers that is not a result, in one shape.

ApiError
├── ConfigError         a setting is wrong; one line that names it
└── WorkerFailed        one of several processes cannot serve

ReadModelError          see projector/readmodel/client/errors.py
├── Unavailable         Redis does not answer, or cannot serve us now: 503
│   └── NotYet          what the client has seen written is not applied in time: 503
└── ReadModelFault      the read model contradicts itself: a fault of ours, 500
"""

import msgspec
from starlette.responses import Response

from projector.readmodel.client.errors import Unavailable

# Seconds a client is asked to wait before it tries again. Redis is back, or is not, within about that time.
RETRY_AFTER_S = 1


class ApiError(Exception):
    """The root of the tree; its text is one line."""


class ConfigError(ApiError, ValueError):
    """Begins with the name of the environment setting that is wrong."""


class WorkerFailed(ApiError):
    """It ended before it had begun. Its own log says why."""


class NotYet(Unavailable):
    """The list does not reflect X-Min-Position within the time we wait."""


_UNAVAILABLE_BODY = msgspec.json.encode(
    {"type": "unavailable", "message": "The order groups cannot be read at the moment. Try again."}
)
_NOT_YET_BODY = msgspec.json.encode(
    {"type": "unavailable", "message": "The order groups do not reflect X-Min-Position yet. Try again."}
)
_BUSY_BODY = msgspec.json.encode({"type": "unavailable", "message": "Too many requests at once. Try again."})
_OVERDUE_BODY = msgspec.json.encode({"type": "unavailable", "message": "The answer took too long. Try again."})
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


def not_yet() -> Response:
    return json_response(_NOT_YET_BODY, 503, {"Retry-After": str(RETRY_AFTER_S)})


def unknown() -> Response:
    return json_response(_UNKNOWN_BODY, 500)


def json_response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, media_type="application/json")
