"""Requests actions, and reads what became of them."""

from collections.abc import Sequence
from typing import Any, cast

import msgspec
from msgspec import Struct

from projector.readmodel.client.active import LISTED_SLOT
from projector.readmodel.client.batches import Block, Command
from projector.readmodel.client.errors import ReadModelFault
from projector.readmodel.client.reader import Reader
from projector.readmodel.schema.actions import (
    ANSWERS,
    EXECUTOR,
    EXPIRES_S,
    FIELD,
    KEPT,
    REQUESTS,
    Answer,
    Request,
    name_of,
    requested_ms,
    shown,
)
from projector.readmodel.schema.generations import Holder, Progress

_READ: tuple[Command, ...] = (
    ("XREVRANGE", REQUESTS, "+", "-", "COUNT", str(KEPT)),
    ("HGETALL", ANSWERS),
    ("GET", EXECUTOR),
    ("TIME",),
)

_requests = msgspec.json.Decoder(Request)
_answers = msgspec.json.Decoder(Answer)
_holders = msgspec.json.Decoder(Holder)


class ActionState(Struct, frozen=True):
    """`state`: waiting, running, done, refused (nothing was done) or failed. `text`: a sentence.

    `progress`: while it runs. `result`: by action, once it is done.
    """

    id: str
    action: str
    arguments: dict[str, Any]
    dry_run: bool
    who: str
    requested_at: str
    state: str
    text: str
    by: str | None = None
    began_at: str | None = None
    ended_at: str | None = None
    progress: Progress | None = None
    result: dict[str, Any] | None = None


async def request_action(reader: Reader, request: Request) -> str:
    """Returns the id. Raises Unavailable."""
    command = ("XADD", REQUESTS, "MAXLEN", "~", str(KEPT), "*", FIELD, msgspec.json.encode(request))
    return cast(bytes, await reader.call(command, LISTED_SLOT)).decode()


async def read_actions(reader: Reader) -> list[ActionState]:
    """Returns the kept actions, the newest first. Raises Unavailable, ReadModelFault."""
    entries, stored, lease, (seconds, _) = cast(list[Any], await reader.call(Block(_READ), LISTED_SLOT))
    now_ms = int(seconds) * 1000
    try:
        answers = {name.decode(): _answers.decode(raw) for name, raw in zip(stored[::2], stored[1::2], strict=True)}
        progress = _holders.decode(lease).progress if lease else None
    except msgspec.DecodeError as error:
        raise ReadModelFault(f"{ANSWERS}, {EXECUTOR}: {error}") from error
    return [
        _state(entry_id.decode(), request, answers.get(entry_id.decode()), progress, now_ms)
        for entry_id, fields in cast(Sequence[tuple[bytes, Sequence[bytes]]], entries)
        if (request := _request(fields[1])) is not None
    ]


def _request(stored: bytes) -> Request | None:
    """Returns None for a request of another release that this one does not know."""
    try:
        return _requests.decode(stored)
    except msgspec.DecodeError:
        return None


def _state(
    action_id: str, request: Request, answer: Answer | None, progress: Progress | None, now_ms: int
) -> ActionState:
    action = request.action
    state, text = (answer.state, answer.text) if answer else ("waiting", "no projector has begun it yet")
    if answer is None and now_ms - requested_ms(action_id) > EXPIRES_S * 1000:
        state, text = "refused", f"no projector began it within {EXPIRES_S} s: is one running?"
    return ActionState(
        id=action_id,
        action=name_of(action),
        arguments=shown(action)["arguments"],
        dry_run=action.dry_run,
        who=request.who,
        requested_at=request.at,
        state=state,
        text=text,
        by=answer.by if answer else None,
        began_at=answer.began_at if answer else None,
        ended_at=answer.ended_at if answer else None,
        progress=progress if state == "running" else None,
        result=answer.result if answer else None,
    )
