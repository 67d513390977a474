"""The routes of operators."""

from datetime import UTC, datetime
from functools import partial

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response

from api import errors
from api.admin.operators import Operators
from api.http.body import ACTIONS_PATH, BODY_BYTES_MAX, read_body
from api.middleware.access import Access, RuledRoute
from api.params.operators import Issue, text
from api.params.query import limited, parsed, take
from api.params.tree import Node, shortened
from api.requests import query_string
from projector.readmodel.client.reader import Reader
from projector.readmodel.operations.actions import read_actions, request_action
from projector.readmodel.operations.parked import read_parked, sort_key
from projector.readmodel.operations.pipeline import read_pipeline
from projector.readmodel.schema.actions import WAITING_MAX, Action, name_of, shown
from projector.readmodel.schema.actions import Request as ActionRequest

PIPELINE_PATH = "/admin/projector/pipeline"
PARKED_PATH = "/admin/projector/parked"

LIMIT = 20
LIMIT_MAX = 100

log = structlog.get_logger("api")


def operator_routes(reader: Reader, operators: Operators) -> list[RuledRoute]:
    async def pipeline(_: Request, __: str) -> Response:
        return _json(await read_pipeline(reader))

    async def parked(request: Request, _: str) -> Response:
        limit, after = parsed(query_string(request), ("limit", "after"), _page)
        return _json(await read_parked(reader, limit, after))

    async def actions(request: Request, who: str) -> Response:
        if request.method == "POST":
            return await act(request, who)
        return _json({"actions": await read_actions(reader)})

    async def one_action(request: Request, _: str) -> Response:
        wanted = request.path_params["id"]
        found = next((one for one in await read_actions(reader) if one.id == wanted), None)
        return errors.not_found(f"Action id not found: {wanted}") if found is None else _json({"action": found})

    async def act(request: Request, who: str) -> Response:
        body = await read_body(request)
        if body is None:
            message = f"Expected a body with a Content-Length of at most {BODY_BYTES_MAX}"
            return _refused(who, errors.problem(413, "invalid_data", message), message)
        try:
            action: Action = msgspec.convert(_with_integers(msgspec.json.decode(body)), Action)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return _refused(who, errors.invalid(f"Invalid request: {error}"), str(error))
        if action.expected is None and not action.dry_run:
            message = "Expected 'expected', what a dry run returns, or dry_run: true"
            return _refused(who, errors.invalid(f"Invalid request: {message}"), message, action)
        waiting = sum(one.state == "waiting" for one in await read_actions(reader))
        if waiting >= WAITING_MAX:
            message = f"Already {waiting} actions wait for a projector: is one running?"
            return _refused(who, errors.problem(409, "conflict", message), message, action)
        action_id = await request_action(reader, ActionRequest(who, datetime.now(UTC).isoformat(), action))
        log.info("action requested", id=action_id, who=who, action=name_of(action), **_logged(action))
        return _json({"action": {"id": action_id, "state": "waiting"}}, 202)

    access, only = Access.OPERATOR, operators.only
    return [
        RuledRoute(PIPELINE_PATH, only(pipeline), access),
        RuledRoute(PARKED_PATH, only(parked), access),
        RuledRoute(ACTIONS_PATH, only(actions), access, methods=("GET", "POST")),
        RuledRoute(ACTIONS_PATH + "/{id}", only(one_action), access),
    ]


def _page(tree: dict[str, Node], issues: list[str]) -> tuple[int, tuple[str, int, int] | None]:
    limit = take(tree, "limit", partial(limited, most=LIMIT_MAX), LIMIT, issues)
    return limit, take(tree, "after", _position, None, issues)


def _position(name: str, node: Node) -> tuple[str, int, int] | None:
    found = text(name, node)
    try:
        return sort_key(found) if found else None
    except ValueError:
        expected = f"Expected: a position such as 'orders/0@17' for field '{name}'"
        raise Issue(f"{expected}, but got: '{shortened(found)}'") from None


def _refused(who: str, response: Response, reason: str, action: Action | None = None) -> Response:
    log.info("action refused", who=who, reason=reason, **(_logged(action) if action else {}))
    return response


def _with_integers(value: object) -> object:
    """Returns decoded JSON with an integer for each number that is one, such as 1.0: for JSON Schema they are equal."""
    if isinstance(value, dict):
        return {name: _with_integers(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_with_integers(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _logged(action: Action) -> dict[str, object]:
    return {"arguments": shown(action)["arguments"], "dry_run": action.dry_run}


def _json(body: object, status: int = 200) -> Response:
    return errors.json_response(msgspec.json.encode(body), status, {"Cache-Control": "no-store"})
