"""The commit script, its request and its outcomes."""

from collections.abc import Mapping
from enum import StrEnum
from importlib.resources import files
from itertools import chain

import msgspec

from events.logs.log import Partition
from projector.anchors import Anchors, packed
from projector.project import PARKED_BYTES, Change
from projector.readmodel.schema.document import VERSION

SCRIPT = "#!lua\n" + "\n".join(
    files(package).joinpath(name).read_text()
    for package, name in (
        ("projector.store", "chunks.lua"),
        ("projector.readmodel.schema", "buckets.lua"),
        ("projector.readmodel.schema", "lines.lua"),
        ("projector.store", "bits.lua"),
        ("projector.store", "lines.lua"),
        ("projector.store", "commit.lua"),
    )
)

# A value gets a bitmap once it has this many groups: from there on a bitmap is about as small as its sorted set.
BROAD_GROUPS_MIN = 1024

# Total size of a script's arguments: what Redis can process in a few milliseconds.
REQUEST_BYTES_MAX = 1024 * 1024


class Outcome(StrEnum):
    """STORED  the commit was written.
    ALREADY  an earlier attempt was written, and its answer was lost.
             For a redrive or a discard: none of its records is parked.
    BEHIND   Redis' position is lower than expected: it lost writes. Resume at its position.
    AHEAD    Redis' position is higher than expected: another process reads this partition.
    CHANGED  a group has another revision: another partition changed it. Load it again, and fold again.
             For a redrive or a discard also: some of its records are no longer parked.
    SEALED   the generation is closed, belongs to another version of the code, or is another one with this number.
    FINISHED nothing was written but the rest of an earlier commit, left half written. `PendingCommit` retries.
    """

    STORED = "STORED"
    ALREADY = "ALREADY"
    BEHIND = "BEHIND"
    AHEAD = "AHEAD"
    CHANGED = "CHANGED"
    SEALED = "SEALED"
    FINISHED = "FINISHED"


class Advance(msgspec.Struct, frozen=True, gc=False):
    """Moves a partition from `start` to `stop`. `start` is None where nothing was applied before.

    `last`: the anchors to store next to `stop`, if any.
    """

    start: int | None
    stop: int
    last: Anchors | None = None


_encode = msgspec.msgpack.Encoder().encode


def request(change: Change, advances: Mapping[Partition, Advance]) -> list[str | bytes]:
    """Returns the arguments that commit.lua takes after its keys, except the last, the nonce."""
    sections: list[list[str | bytes]] = [
        list(chain.from_iterable(pairs.items()))
        for pairs in (
            change.expected,
            change.state,
            change.row,
            change.rest,
            change.parked,
            change.discarded,
            change.text,
        )
    ]
    head = _encode(
        (
            str(VERSION),
            list(chain.from_iterable((str(p), a.start is not None and a.start, a.stop) for p, a in advances.items())),
            [len(section) for section in sections],
            change.unlisted,
            change.add,
            change.remove,
            _tally(change),
            BROAD_GROUPS_MIN,
            change.unparked,
            change.redriven,
            list(chain.from_iterable((str(p), packed(a.last)) for p, a in advances.items() if a.last)),
        )
    )
    return [head, *chain.from_iterable(sections)]


def _tally(change: Change) -> dict[str, int]:
    tally: dict[str, int] = {}
    for partition, fates in change.tally.items():
        tally |= {f"{partition}:{fate}": records for fate, records in fates.items() if records}
        tally[f"{partition}:received"] = sum(fates.values())
    tally |= {f"{partition}:{PARKED_BYTES}": size for partition, size in change.parked_bytes.items() if size}
    return tally
