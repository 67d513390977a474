"""The list of generations, and other keys outside of any generation. The table of docs/architecture.md has the types.

Only `og:live` makes a generation live; `state` is the stage that it had reached before. See projector/parked/ for
the keys about the log.
"""

from enum import StrEnum

from msgspec import Struct

from projector.readmodel.schema.keys import Generation

GENERATIONS = "{og:live}:generations"
NUMBERS = "{og:live}:numbers"
REPLAY = "{og:live}:replay"
PAUSED = "{og:live}:paused"
DEAD_LETTERS_DUE = "{og:live}:untold"
STARTED = "{og:live}:started"
POISON_PILLS = "{og:live}:deadly"
REWRITES = "{og:live}:rewrites"


class State(StrEnum):
    """BUILDING  the log is being read, or `verify` has not compared it yet
    VERIFIED  compared with the log: may become live
    READY     is live, or was: complete up to its positions, and kept for a rollback
    DROPPING  its keys are being deleted
    """

    BUILDING = "building"
    VERIFIED = "verified"
    READY = "ready"
    DROPPING = "dropping"


class Listed(Struct, frozen=True):
    """An entry of the list. `differences`: those that `verify` found.

    `made_at`, `live_at`: RFC 3339. `live_at` is when it last became live, empty if it never was. Each switch writes a
    later `live_at` than all before, even if clocks of hosts differ: a rollback chooses the latest.
    """

    generation: Generation
    state: State
    made_at: str
    differences: int = 0
    live_at: str = ""


def state_of(entry: Listed, live: Generation | None) -> str:
    """Returns the state that operators see: `live`, `kept` if it was live before, or the stage that it has reached."""
    if entry.generation == live:
        return "live"
    return "kept" if entry.state is State.READY else str(entry.state)


class Progress(Struct, frozen=True):
    """Progress of a step of a replay, in events or groups; part of `{og:live}:replay`."""

    step: str
    done: int
    total: int


class Holder(Struct):
    """The process that holds a lease, such as `{og:live}:replay`. `beat` changes with each renewal, which shows others
    that the holder lives.

    `place`: names the host, its boot and its PID namespace; a process of the same `place` can check `pid` at once.
    """

    who: str
    token: str
    place: str
    pid: int
    beat: int = 0
    progress: Progress | None = None


class Paused(Struct, frozen=True):
    """Where a partition waits for room. `limit`: the setting; its default is for entries of earlier releases."""

    offset: int
    limit: str = "PARKED_MAX"
