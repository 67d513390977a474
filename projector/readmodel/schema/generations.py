"""The generations there are, beside the one that `og:live` points at.

    {og:live}:generations  hash    number -> JSON of Listed
    {og:live}:numbers      string  the number that the next one gets; none is given twice
    {og:live}:replay       string  who is at work on them; gone soon after that process is

Beside them stands what projectors tell of the log, whatever generation it goes into: see projector/parked/.

    {og:live}:paused       hash    partition -> JSON: where it waits for room for parked events
    {og:live}:untold       set     positions of parked events that their topic has not taken yet
    {og:live}:started      hash    partition -> JSON: who reads it, and has not ended in an orderly way
    {og:live}:deadly       set     identity of the log, a space, and the position of an event that killed who read it

A generation that is live says so by the pointer alone: `state` tells how far it had come before.
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
    """BUILDING  its log has not been read to the end yet; or it has, and nobody has compared it.
    VERIFIED  compared: it may go live.
    READY     is live, or was: complete up to its positions, and kept to go back to.
    DROPPING  its keys are being deleted.
    """

    BUILDING = "building"
    VERIFIED = "verified"
    READY = "ready"
    DROPPING = "dropping"


class Listed(Struct, frozen=True):
    """`made_at`, `live_at`: RFC 3339; the latter of the last time that it became live, empty where it never was. Each
    switch writes a later `live_at` than all before, whatever the hosts' clocks say: a rollback takes the latest.

    `differences`: how many were found when it was compared.
    """

    generation: Generation
    state: State
    made_at: str
    differences: int = 0
    live_at: str = ""


class Progress(Struct, frozen=True):
    """How far a step of a replay is: events, or groups. Told in `{og:live}:replay`."""

    step: str
    done: int
    total: int
