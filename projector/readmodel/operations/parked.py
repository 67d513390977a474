"""Pages through the parked events of the active generation, by position."""

import re
import zlib
from collections.abc import Sequence
from typing import Any, cast

import msgspec
from msgspec import Struct

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.client.batches import NOTHING, Command
from projector.readmodel.client.errors import ReadModelFault
from projector.readmodel.client.reader import Reader
from projector.readmodel.schema.actions import active
from projector.readmodel.schema.parked import Headers, StoredParked, digest

# Records that are read together: each may exceed 1 MiB. A page ends early once it has so many bytes.
STEP_RECORDS = 10
PAGE_BYTES_MAX = 4 * 1024 * 1024

_POSITION = re.compile(r"(?P<topic>.+)/(?P<partition>[0-9]{1,10})@(?P<offset>[0-9]{1,19})", re.DOTALL)

_decoder = msgspec.json.Decoder(StoredParked)


class ParkedEvent(Struct, frozen=True):
    """`digest`: for `expected` of an action; it changes with all that is stored of the event.

    `key`, `value` and the values of `headers` are base64 in JSON. `text`: the value, if it is UTF-8. All are None or
    empty without `with_payload`: then PERSONAL_DATA is off, and the log alone has them.
    """

    position: str
    digest: str
    reason: str
    attempts: int
    time: str | None
    parked_at: str | None
    with_payload: bool
    key: bytes | None
    value: bytes | None
    text: str | None
    headers: Headers


class ParkedPage(Struct, frozen=True):
    """`count`: all parked events. `next`: the `after` of the next page, None at the end."""

    active: dict[str, Any] | None
    parked: Sequence[ParkedEvent]
    count: int
    next: str | None


async def read_parked(reader: Reader, limit: int, after: tuple[str, int, int] | None) -> ParkedPage:
    """`after`: topic, partition and offset of the last event of the page before. Raises Unavailable, ReadModelFault."""
    seen = await reader.read(_positions, None, reader.deadline_s())
    if seen is None:
        return ParkedPage(None, (), 0, None)
    live = seen.live
    found = [
        (sort_key(position), position, shard)
        for shard, positions in enumerate(cast(list[list[bytes]], seen.values))
        for position in map(bytes.decode, positions)
    ]
    wanted = sorted(one for one in found if after is None or one[0] > after)
    page: list[ParkedEvent] = []
    size = done = 0
    while done < min(limit, len(wanted)) and size < PAGE_BYTES_MAX:
        step = wanted[done : min(done + STEP_RECORDS, limit)]
        done += len(step)
        for position, stored in await _records(reader, live, step):
            size += len(stored)
            page.append(_event(position, stored))
    rest = wanted[done:] if limit else []
    return ParkedPage(active(live.generation), page, len(found), wanted[done - 1][1] if rest else None)


def sort_key(position: str) -> tuple[str, int, int]:
    """Returns topic, partition and offset of `orders/0@17`. Raises ValueError."""
    match = _POSITION.fullmatch(position)
    if match is None:
        raise ValueError(f"expected a position such as orders/0@17, got {position!r:.200}")
    return match["topic"], int(match["partition"]), int(match["offset"])


async def _records(
    reader: Reader, live: ActiveGeneration, step: Sequence[tuple[object, str, int]]
) -> list[tuple[str, bytes]]:
    """Returns position and stored JSON of those that are still parked."""
    by_shard: dict[int, list[str]] = {}
    for _, position, shard in step:
        by_shard.setdefault(shard, []).append(position)

    def commands(now: ActiveGeneration) -> list[Command]:
        return [
            ("HMGET", keys.parked, *by_shard[shard]) if shard in by_shard else NOTHING
            for shard, keys in enumerate(now.shards)
        ]

    seen = await reader.read(commands, None, reader.deadline_s())
    if seen is None or seen.live.generation != live.generation:
        # Another generation is active since: its own page comes with the next request.
        return []
    values = {
        position: stored
        for shard, positions in by_shard.items()
        for position, stored in zip(positions, cast(list[bytes | None], seen.values[shard]), strict=True)
    }
    return [(position, stored) for _, position, _ in step if (stored := values[position]) is not None]


def _positions(live: ActiveGeneration) -> list[Command]:
    return [("HKEYS", keys.parked) for keys in live.shards]


def _event(position: str, stored: bytes) -> ParkedEvent:
    try:
        parked = _decoder.decode(stored)
        value = parked.uncompressed()
    except (msgspec.DecodeError, zlib.error) as error:
        raise ReadModelFault(f"the parked event {position} is damaged: {error}") from error
    return ParkedEvent(
        position=position,
        digest=digest(stored),
        reason=parked.reason,
        attempts=parked.attempts,
        time=parked.time,
        parked_at=parked.parked_at,
        with_payload=parked.with_payload,
        key=parked.key,
        value=value,
        text=_text(value),
        headers=parked.headers,
    )


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None
