"""Which groups commits changed: the calls that read it, and what their answers mean. Pure.

Commits and redrives write `changed`, a number for each. Positions do not show a redrive, so
these numbers say what a client has seen.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.client.batches import Command
from projector.readmodel.query.lua.scripts import SINCE
from projector.readmodel.query.positions import Snapshot
from projector.readmodel.schema.columns import row_json

# Ids of changed groups that are named, of all shards together.
IDS_MAX = 200

# Of a shard, as since.lua has it.
Reply = tuple[object, int, bytes, int, list[bytes] | None]


class Commit(NamedTuple):
    """A commit of a shard, by its number. Digests are chained; an empty one is not compared."""

    number: int
    digest: bytes = b""


class Changes(Struct, frozen=True):
    """`generation`: its unique name. `commits`: the newest one of each shard, and `snapshot` what they reflect.

    `is_known`: False if it is not known what changed: another generation is active, commits are no longer kept, or
    Redis has lost some. `ids`: of the changed groups; None if they are more than IDS_MAX, or one is no longer listed.
    """

    generation: bytes
    nonce: str
    commits: tuple[Commit, ...]
    snapshot: Snapshot
    is_known: bool
    ids: tuple[str, ...] | None


class _Row(Struct):
    id: str


_row = msgspec.json.Decoder(_Row)
_NOW = Commit(-1)


def commands(since: Sequence[Commit] | None, live: ActiveGeneration) -> list[Command]:
    """`since`: of another number of shards only if another generation was active."""
    shards = len(live.shards)
    commits = since if since is not None and len(since) == shards else (_NOW,) * shards
    return [
        SINCE.call(keys, (keys.row, keys.position), str(number), digest, str(IDS_MAX))
        for keys, (number, digest) in zip(live.shards, commits, strict=True)
    ]


def changes(
    live: ActiveGeneration, snapshot: Snapshot, since: Sequence[Commit] | None, replies: Sequence[Reply]
) -> Changes:
    """`replies`: one for each command."""
    commits = tuple(Commit(number, digest) for _, number, digest, _, _ in replies)
    is_known = all(known for _, _, _, known, _ in replies) and (since is None or len(since) == len(replies))
    rows = [row for *_, rows in replies for row in rows or ()]
    is_named = all(rows is not None for *_, rows in replies) and len(rows) <= IDS_MAX
    ids = tuple(_row.decode(row_json(row)).id for row in rows) if is_named else None
    return Changes(live.name, live.generation.nonce, commits, snapshot, is_known, ids)
