"""A Change on its way into Redis: packed once, sent until the answer is known."""

from collections.abc import Mapping
from enum import StrEnum
from importlib.resources import files
from itertools import chain

import msgspec

from events.logs.log import Partition
from projector.anchors import Last, packed
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

# A value with as many groups gets a bitmap: then that is about as small as the sorted set.
BROAD_GROUPS_MIN = 1024

# A script's argument, in bytes: what Redis can take in within its few milliseconds.
REQUEST_BYTES_MAX = 1024 * 1024


class Outcome(StrEnum):
    """STORED  written now.
    ALREADY  written before: the answer to that attempt was lost on the way.
             Of a redrive or a discard: none of its records is parked any more.
    BEHIND   Redis has less than we think: it lost writes. Go back to its position.
    AHEAD    Redis has more than we think: another process reads this partition.
    CHANGED  a group was changed by another partition meanwhile. Load it again, merge again.
             Of a redrive or a discard also: some of its records are no longer parked.
    SEALED   the generation is closed, belongs to another version of the code, or is another one under the same number.
    FINISHED nothing was done yet: a commit that was left half written had to be finished first. `Sent` sends it again.
    """

    STORED = "STORED"
    ALREADY = "ALREADY"
    BEHIND = "BEHIND"
    AHEAD = "AHEAD"
    CHANGED = "CHANGED"
    SEALED = "SEALED"
    FINISHED = "FINISHED"


class Advance(msgspec.Struct, frozen=True, gc=False):
    """The batch takes a partition from one position to the next; `start` is None where nothing was applied yet.

    `last`: what is stored next to `stop`; None where nothing is known.
    """

    start: int | None
    stop: int
    last: Last | None = None


_encode = msgspec.msgpack.Encoder().encode


def request(change: Change, advances: Mapping[Partition, Advance]) -> list[str | bytes]:
    """The arguments of commit.lua behind its keys, but for the nonce."""
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
