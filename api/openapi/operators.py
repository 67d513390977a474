"""The routes of operators for the OpenAPI document. Schemas are those of the structs that are sent."""

import msgspec

from api.admin.operators import REFUSAL
from api.admin.routes import LIMIT, LIMIT_MAX, PARKED_PATH, PIPELINE_PATH
from api.http.body import ACTIONS_PATH, BODY_BYTES_MAX
from api.openapi.answers import ANYWHERE, error, errors, success
from api.openapi.forms import Json, exactly, parameter, parsed_integer
from projector.readmodel.operations.actions import ActionState
from projector.readmodel.operations.parked import ParkedPage
from projector.readmodel.operations.pipeline import Pipeline
from projector.readmodel.schema.actions import EXPIRES_S, WAITING_MAX, Action

TAG = "Operators"
_REF = "#/components/schemas/{name}"
_ID = "1780308000000-0"
_ACTIVE = {"number": 0, "nonce": "4f2a91c07be3d568"}
_REQUEST = {"action": "redrive", "arguments": {"positions": ["orders/0@17"]}, "dry_run": True}
_ACTION: Json = {
    **{"id": _ID, "action": "redrive", "arguments": _REQUEST["arguments"], "dry_run": True, "who": "actor user_1"},
    **{"requested_at": "2026-06-01T10:00:00.000000+00:00", "state": "waiting", "text": "no projector has begun it yet"},
    **dict.fromkeys(("by", "began_at", "ended_at", "progress", "result")),
}
_PIPELINE: Json = {
    "at_ms": 1780308000000,
    "active": _ACTIVE,
    "partitions": [
        {
            **{"partition": "orders/0", "position": 5, "end": 5, "lag": 0, "received": 5, "applied": 4, "stale": 0},
            **{"passed_over": 0, "parked": 1, "discarded": 0, "parked_bytes": 900},
            **dict.fromkeys(("paused_at", "paused_by", "diverged")),
        }
    ],
    "end_age_s": 0.4,
    "untold": 0,
    "passed_over_types": ["cart.created"],
    "source": {"mapping": "mercur2", "notes": 2, "bulk_notes": 0, "oldest_s": 0.3, "problems": [], "age_s": 0.8},
    "generations": [
        {
            **{"number": 0, "state": "live", "version": 8, "shards": 1, "made_at": "2026-06-01T09:00:00+00:00"},
            **{"live_at": None, "differences": 0, "personal_data": True, "groups": 4, "bytes": 4000},
        }
    ],
    "sizes_at": "2026-06-01T10:00:00+00:00",
    "replay": None,
}
_PARKED: Json = {
    "active": _ACTIVE,
    "parked": [
        {
            **{"position": "orders/0@17", "digest": "9be1a7c5d2f04e36", "attempts": 1, "with_payload": True},
            **{"reason": '$.data.total: expected decimal, got "much"', "time": None, "parked_at": None},
            **{"key": None, "value": "e30=", "text": "{}", "headers": []},
        }
    ],
    "count": 1,
    "next": None,
}


def schemas() -> Json:
    _, made = msgspec.json.schema_components([Pipeline, ParkedPage, ActionState, Action], ref_template=_REF)
    # Defaults that are tuples become arrays.
    found: Json = msgspec.json.decode(msgspec.json.encode(made))
    for name in _ACTIONS:
        found[name]["anyOf"] = [
            {"required": ["expected"], "properties": {"expected": {"type": "object"}}},
            {"required": ["dry_run"], "properties": {"dry_run": {"const": True}}},
        ]
    found["Chosen"]["oneOf"] = [
        {"required": ["positions"], "properties": {"positions": {"type": "array"}}},
        {"required": ["reason"], "properties": {"reason": {"type": "string"}}},
        {"required": ["all"], "properties": {"all": {"const": True}}},
    ]
    return {
        **found,
        "Action": {"oneOf": [{"$ref": _REF.format(name=name)} for name in _ACTIONS]},
        "Actions": exactly(actions={"type": "array", "items": {"$ref": _REF.format(name="ActionState")}}),
        "OneAction": exactly(action={"$ref": _REF.format(name="ActionState")}),
        "Requested": exactly(action=exactly(id={"type": "string"}, state={"const": "waiting"})),
    }


_ACTIONS = ("Redrive", "Discard", "Replay", "Switch", "Rollback", "Drop")


def responses() -> Json:
    return {
        "403": error("Valid credentials of somebody who is no operator.", "forbidden", REFUSAL),
        "409": error("Too many actions wait.", "conflict", f"Already {WAITING_MAX} actions wait for a projector"),
    }


def paths() -> Json:
    return {
        PIPELINE_PATH: {
            "get": _get("getPipeline", "What the projector has done, and has to do", "Pipeline", _PIPELINE)
        },
        PARKED_PATH: {"get": _parked()},
        ACTIONS_PATH: {
            "get": _get("listActions", "The last actions, the newest first", "Actions", {"actions": [_ACTION]}),
            "post": _act(),
        },
        ACTIONS_PATH + "/{id}": {"get": _one()},
    }


def _get(operation: str, summary: str, schema: str, example: Json, *more: str) -> Json:
    return {
        "operationId": operation,
        "summary": summary,
        "tags": [TAG],
        "parameters": [_REQUEST_ID],
        "responses": {
            "200": success(schema, f"{summary}.", example, versioned=False),
            **errors("401", "403", *more, *ANYWHERE),
        },
    }


def _parked() -> Json:
    integer = {"type": "integer", "minimum": 0, "maximum": LIMIT_MAX, "default": LIMIT}
    assert LIMIT_MAX == 100, "the pattern below assumes it"
    digits = parsed_integer(integer, "(100|[0-9]{1,2})")
    limit = parameter("limit", "Events of the page; a large page ends earlier.", digits)
    position = {"type": "string", "pattern": "^([A-Za-z0-9._-]+/[0-9]{1,9}@[0-9]{1,18})?$"}
    after = parameter("after", "`next` of the page before.", position)
    found = _get("listParked", "Parked events, by position", "ParkedPage", _PARKED, "400")
    return {**found, "parameters": [limit, after, *found["parameters"]]}


def _one() -> Json:
    path = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}, "example": _ID}
    found = _get("getAction", "One action", "OneAction", {"action": _ACTION}, "404")
    return {**found, "parameters": [path, *found["parameters"]]}


def _act() -> Json:
    content = {"application/json": {"schema": {"$ref": _REF.format(name="Action")}, "example": _REQUEST}}
    accepted = success("Requested", "Requested.", {"action": {"id": _ID, "state": "waiting"}}, versioned=False)
    return {
        "operationId": "requestAction",
        "summary": "Request an action of a projector",
        "description": f"A projector executes it, or refuses it after {EXPIRES_S} s. `dry_run` changes nothing: its "
        "result has `expected`, which the action itself needs. The body needs a `Content-Length` of at most "
        f"{BODY_BYTES_MAX}.",
        "tags": [TAG],
        "parameters": [_REQUEST_ID],
        "requestBody": {"required": True, "content": content},
        "responses": {"202": accepted, **errors("400", "401", "403", "409", *ANYWHERE)},
    }


_REQUEST_ID = {"$ref": "#/components/parameters/XRequestId"}
