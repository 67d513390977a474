"""Actions of operators: requested by the API, executed by a projector. What both sides store in Redis.

The API appends a Request to a stream, and may write nothing else. A projector answers in a hash, which the API only
reads. The id of an action is that of its entry in the stream, so its first part is a time of Redis' clock.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from projector.readmodel.schema.keys import Generation

REQUESTS = "{og:live}:requests"
ANSWERS = "{og:live}:actions"
EXECUTOR = "{og:live}:executor"

# Requests that are kept, with their answers.
KEPT = 100
# Requests that may wait at a time.
WAITING_MAX = 10
# A request that no projector began within so many seconds is not executed any more.
EXPIRES_S = 60

# The field of a stream's entry.
FIELD = b"request"

# Values of `accept_loss` are those of events/logs/log.py; the projector checks them.
Losses = tuple[str, ...]
Shards = Annotated[int, Meta(ge=1, le=1024)]
Workers = Annotated[int, Meta(ge=1, le=64)]
Number = Annotated[int, Meta(ge=0)]
Position = Annotated[str, Meta(min_length=1, max_length=300)]


class Chosen(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Parked events: these, or those whose reason contains a text, or all."""

    positions: Annotated[tuple[Position, ...], Meta(min_length=1, max_length=100)] | None = None
    reason: Annotated[str, Meta(min_length=1, max_length=1000)] | None = None
    all: bool = False

    def __post_init__(self) -> None:
        if (self.positions is not None) + (self.reason is not None) + self.all != 1:
            raise ValueError("expected one of positions, reason, or all: true")


class Build(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """As the options of `projector replay`."""

    shards: Shards | None = None
    workers: Workers = 1
    park: bool = False
    accept_loss: Losses = ()
    force: bool = False


class Accept(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    accept_differences: bool = False


class OfGeneration(Struct, frozen=True, forbid_unknown_fields=True):
    number: Number


class _Action(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="action", tag=str.lower, kw_only=True
):
    """`expected`: the state that the operator has seen, which must still hold. `dry_run`: only says what it would do,
    and what `expected` must be.
    """

    expected: dict[str, Any] | None = None
    dry_run: bool = False


class Redrive(_Action, frozen=True, kw_only=True):
    arguments: Chosen


class Discard(_Action, frozen=True, kw_only=True):
    arguments: Chosen


class Replay(_Action, frozen=True, kw_only=True):
    """Builds a generation beside the active one, or continues to, and compares it."""

    arguments: Build = Build()


class Switch(_Action, frozen=True, kw_only=True):
    """Makes the generation active that a replay has built."""

    arguments: Accept = Accept()


class Rollback(_Action, frozen=True, kw_only=True):
    arguments: OfGeneration


class Drop(_Action, frozen=True, kw_only=True):
    arguments: OfGeneration


Action = Redrive | Discard | Replay | Switch | Rollback | Drop


class Request(Struct, frozen=True):
    """`who`: the operator. `at`: RFC 3339, by the clock of the API."""

    who: str
    at: str
    action: Action


class Answer(Struct, frozen=True, omit_defaults=True):
    """`state`: running, done, refused (nothing was done), or failed. `text`: a sentence for the operator.

    `result`: by action. `by`: the process. `began_at`, `ended_at`: RFC 3339.
    """

    state: str
    text: str
    by: str
    began_at: str
    ended_at: str | None = None
    result: dict[str, Any] | None = None


def name_of(action: Action) -> str:
    return type(action).__name__.lower()


def shown(action: Action) -> dict[str, Any]:
    """Returns the action as in a request."""
    found: dict[str, Any] = msgspec.to_builtins(action)
    return {"arguments": {}, **found}


def active(generation: Generation) -> dict[str, Any]:
    """Returns how `expected` names the active generation."""
    return {"number": generation.number, "nonce": generation.nonce}


def requested_ms(action_id: str) -> int:
    """Returns when it was requested, in Unix milliseconds by the clock of Redis."""
    return int(action_id.partition("-")[0])
