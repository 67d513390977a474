"""Positions: how far the read model reflects the log. Pure.

The text form is `orders/0@81235,orders/1@7`: of each partition the next offset to apply. Characters that Kafka does not
allow in the name of a topic are percent-encoded.
"""

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from msgspec import Struct

from projector.readmodel.client.errors import Unavailable

# A field of the position hash: how often a redrive has changed documents, which moves no position.
_REDRIVEN = b"redriven"
# A field of the position hash while a commit is half written: documents and indexes of the shard may disagree.
_UNFINISHED = b"unfinished"

# `<topic>/<number>` -> the next offset to apply.
Positions = Mapping[str, int]


class Snapshot(Struct, frozen=True):
    """What an answer reflects.

    `content`: the generation, and of each shard the positions and the number of redrives. Equal contents mean equal
    answers, since the fold is deterministic. `positions`: the lowest of all shards for each partition; `text`: the same
    as a header. `shards`: the positions of each shard.
    """

    content: bytes
    positions: Positions
    text: str
    shards: tuple[Positions, ...]

    @property
    def generation(self) -> bytes:
        return self.content.partition(b"\n")[0]


def snapshot(generation: bytes, replies: Sequence[Sequence[bytes]]) -> Snapshot:
    """`generation`: a unique name of it. `replies`: the position hash of each shard, field and value in turn.

    Raises ValueError, Unavailable.
    """
    shards = tuple(offsets(reply) for reply in replies)
    text = written(lowest(shards))
    each = (written(shard) for shard in shards) if len(shards) > 1 else (text,)
    content = b"\n".join((generation, *(part.encode() for part in each), *_redriven(replies)))
    return Snapshot(content, lowest(shards), text, shards)


def combined(snapshots: Sequence[Snapshot]) -> Snapshot:
    """Returns what answers from several snapshots of one generation reflect together."""
    first, contents = snapshots[0], dict.fromkeys(one.content for one in snapshots)
    if len(contents) == 1:
        return first
    shards = tuple(lowest(each) for each in zip(*(one.shards for one in snapshots), strict=True))
    return Snapshot(b"\n".join(contents), lowest(shards), written(lowest(shards)), shards)


def _redriven(replies: Sequence[Sequence[bytes]]) -> list[bytes]:
    """Returns the number of redrives of each shard that had any."""
    fields = ((shard, name, times) for shard, reply in enumerate(replies) for name, times in _pairs(reply))
    return [b"%d %b %b" % (shard, name, times) for shard, name, times in fields if name == _REDRIVEN]


def lowest(shards: Sequence[Positions]) -> Positions:
    """Returns what all shards have reached: without partitions of which one shard has no position."""
    first, *others = shards
    if not others:
        return first
    return {name: min(shard[name] for shard in shards) for name in first if all(name in shard for shard in others)}


def highest(shards: Iterable[Positions]) -> Positions:
    """Returns what at least one shard has reached."""
    found: dict[str, int] = {}
    for shard in shards:
        for name, offset in shard.items():
            found[name] = max(offset, found.get(name, 0))
    return found


def offsets(reply: Sequence[bytes]) -> Positions:
    """Parses a position hash, field and value in turn. Raises ValueError; Unavailable while a commit is unfinished."""
    if _UNFINISHED in reply:
        raise Unavailable("a commit failed halfway, and the projector has not redone it yet")
    return {name.decode(): int(offset) for name, offset in _pairs(reply) if name != _REDRIVEN}


def _pairs(reply: Sequence[bytes]) -> Iterable[tuple[bytes, bytes]]:
    return zip(reply[::2], reply[1::2], strict=True)


def events_behind(end: Positions, positions: Positions) -> int:
    """Returns the number of events between `positions` and the end of the log, over all partitions."""
    return sum(max(offset - positions.get(name, 0), 0) for name, offset in end.items())


NOTHING_LIVE = Snapshot(b"", {}, "", ())


def written(positions: Positions) -> str:
    """Returns the text form, sorted by topic and number."""
    parts = sorted((*_split(name), offset) for name, offset in positions.items())
    return ",".join(f"{quote(topic, safe='')}/{number}@{offset}" for topic, number, offset in parts)


def _split(name: str) -> tuple[str, int]:
    topic, _, number = name.rpartition("/")
    return topic, int(number)


def missing(positions: Positions, minimum: Positions) -> dict[str, int]:
    """Returns the part of `minimum` that `positions` does not reach. A partition without a position is at 0."""
    return {name: offset for name, offset in minimum.items() if positions.get(name, 0) < offset}
