"""How far the log is reflected, as Redis tells it. Pure.

Written `orders/0@81235,orders/1@7`: of each partition, everything before that offset. Where the name of a topic has
other characters than Kafka allows, they are percent-encoded.
"""

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from msgspec import Struct

from projector.readmodel.client.errors import Unavailable

# Beside the positions: how often parked events were applied after all, which moves no position.
_REDRIVEN = b"redriven"
# Beside the positions too, as long as a commit is half written: documents and indexes of the shard may disagree.
_UNFINISHED = b"unfinished"

# `<topic>/<number>` -> the next offset to apply.
Positions = Mapping[str, int]


class Instant(Struct, frozen=True):
    """What an answer reflects.

    `content`: equal ones mean equal answers, for the fold is deterministic. It tells the generation, and of every shard
    the positions, and how often parked events were redriven. `positions`: of each partition the lowest of all shards,
    as `text` in the header. `shards`: each.
    """

    content: bytes
    positions: Positions
    text: str
    shards: tuple[Positions, ...]


def instant(generation: bytes, replies: Sequence[Sequence[bytes]]) -> Instant:
    """`generation`: what names it. `replies`: for each shard its position hash in Redis, name and offset by turns.

    Raises ValueError, Unavailable.
    """
    shards = tuple(offsets(reply) for reply in replies)
    text = written(lowest(shards))
    each = (written(shard) for shard in shards) if len(shards) > 1 else (text,)
    content = b"\n".join((generation, *(part.encode() for part in each), *_redriven(replies)))
    return Instant(content, lowest(shards), text, shards)


def _redriven(replies: Sequence[Sequence[bytes]]) -> list[bytes]:
    """Of the shards that had any."""
    told = ((shard, name, times) for shard, reply in enumerate(replies) for name, times in _pairs(reply))
    return [b"%d %b %b" % (shard, name, times) for shard, name, times in told if name == _REDRIVEN]


def lowest(shards: Sequence[Positions]) -> Positions:
    """What all shards have reached. What one has nothing of is not reached."""
    first, *others = shards
    if not others:
        return first
    return {name: min(shard[name] for shard in shards) for name in first if all(name in shard for shard in others)}


def highest(shards: Iterable[Positions]) -> Positions:
    """What any shard has reached."""
    found: dict[str, int] = {}
    for shard in shards:
        for name, offset in shard.items():
            found[name] = max(offset, found.get(name, 0))
    return found


def offsets(reply: Sequence[bytes]) -> Positions:
    """Of a hash of Redis, name and offset by turns. Raises ValueError, Unavailable while a commit is unfinished."""
    if _UNFINISHED in reply:
        raise Unavailable("a commit failed halfway, and the projector has not finished it yet")
    return {name.decode(): int(offset) for name, offset in _pairs(reply) if name != _REDRIVEN}


def _pairs(reply: Sequence[bytes]) -> Iterable[tuple[bytes, bytes]]:
    return zip(reply[::2], reply[1::2], strict=True)


def lag(end: Positions, positions: Positions) -> int:
    """Events between where the log ends and what is reflected, over all partitions."""
    return sum(max(offset - positions.get(name, 0), 0) for name, offset in end.items())


NOTHING_LIVE = Instant(b"", {}, "", ())


def written(positions: Positions) -> str:
    """Sorted by topic and number."""
    parts = sorted((*_split(name), offset) for name, offset in positions.items())
    return ",".join(f"{quote(topic, safe='')}/{number}@{offset}" for topic, number, offset in parts)


def _split(name: str) -> tuple[str, int]:
    topic, _, number = name.rpartition("/")
    return topic, int(number)


def missing(positions: Positions, minimum: Positions) -> dict[str, int]:
    """The part of `minimum` that `positions` does not reach. A partition that nothing was applied of is at 0."""
    return {name: offset for name, offset in minimum.items() if positions.get(name, 0) < offset}
