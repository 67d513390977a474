"""The scripts that load groups and commit a batch, and the outcomes of a commit."""

from enum import StrEnum
from importlib.resources import files

import msgspec

from projector.anchors import Anchors
from projector.readmodel.client.script import Script, assembled

# Module -> file.
_MODULES = {
    "lists": "lists",
    "requests": "request",
    "checks": "checks",
    "note": "note",
    "changed": "changed",
    "texts": "texts",
    "bits": "bits",
    "value_bitmaps": "values",
}
_FOLDER = files(__package__).joinpath("lua")

# A value gets a bitmap once it has so many groups. In a shard of half a million a bitmap is as small as the sorted set
# from there on; in a larger one it takes more: docs/sizing.md has the figures of ten million.
BROAD_GROUPS_MIN = 1024

COMMIT = Script(assembled(f"#!lua\nlocal BROAD_GROUPS_MIN = {BROAD_GROUPS_MIN}", _FOLDER, _MODULES, "commit"))
COMMIT_EVEN_IF_FULL = Script(COMMIT.text.replace("#!lua", "#!lua flags=allow-oom", 1))
LOAD = Script(assembled("#!lua flags=no-writes", _FOLDER, {"lists": "lists"}, "load"))


class Outcome(StrEnum):
    """STORED  the commit was written.
    ALREADY  an earlier attempt was written, and its answer was lost.
             For a redrive or a discard: none of its records is parked.
    BEHIND   Redis' position is lower than expected: it lost writes. Resume at its position.
    AHEAD    Redis' position is higher than expected: another process reads this partition.
    CHANGED  a group has another revision: another partition changed it. Load it again, and fold again.
             For a redrive or a discard also: some of its records are no longer parked.
    TAKEN    the ordinal of a new group is not free: a failover has lost its reservation. Drop the reserved block, load
             again, and fold again.
    SEALED   the generation is closed, belongs to another version of the code, or is another one with this number.
    FINISHED nothing was written but the rest of an earlier commit, left half written. `PendingCommit` retries.
    """

    STORED = "STORED"
    ALREADY = "ALREADY"
    BEHIND = "BEHIND"
    AHEAD = "AHEAD"
    CHANGED = "CHANGED"
    TAKEN = "TAKEN"
    SEALED = "SEALED"
    FINISHED = "FINISHED"


class Advance(msgspec.Struct, frozen=True, gc=False):
    """Moves a partition from `start` to `stop`. `start` is None where nothing was applied before.

    `last`: the anchors to store next to `stop`, if any.
    """

    start: int | None
    stop: int
    last: Anchors | None = None
