"""Digests of records before a position. They show whether a log still holds the records that were applied. Pure.

Offsets alone cannot show that: a log that is restored from a backup, and then grows past the position, holds other
records at the same offsets.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import msgspec
from msgspec import Struct

from events.logs.log import UNREADABLE, Partition, Record

# The newest anchor, and at most one older anchor per range of distances from 4^k to 4^(k+1) offsets.
ANCHORS_MAX = 16
_BITS_PER_RANGE = 2


class Anchor(Struct, frozen=True, array_like=True, gc=False):
    """An applied record. `digest`: 64 bits of BLAKE2b in hexadecimal, empty where the client library could not read the
    record. `epoch`: as in Record.
    """

    offset: int
    digest: str
    epoch: int | None


class Anchors(Struct, frozen=True, array_like=True, gc=False):
    """Stored next to `position`: anchors of the last record applied before it and of ever older ones."""

    position: int
    anchors: tuple[Anchor, ...]


_encode = msgspec.msgpack.Encoder().encode
_as_json = msgspec.json.Encoder().encode
_last = msgspec.json.Decoder(Anchors | None)


def anchor_of(record: Record) -> Anchor:
    if any(name == UNREADABLE for name, _ in record.headers):
        return Anchor(record.offset, "", record.epoch)
    headers = [(name.encode(errors="surrogatepass"), value) for name, value in record.headers]
    content = _encode((record.timestamp_ms, record.key, record.value, headers))
    return Anchor(record.offset, blake2b(content, digest_size=8).hexdigest(), record.epoch)


def newest_anchors(records: Iterable[Record]) -> dict[Partition, Anchor]:
    """Returns the anchor of each partition's last record. `records` are in order within each partition."""
    return {p: anchor_of(record) for p, record in {record.partition: record for record in records}.items()}


def anchors_at(last: Anchors | None, anchor: Anchor | None, position: int) -> Anchors | None:
    """Returns what to store next to `position`. `last`: stored before; `anchor`: of the newest record since then."""
    older = [one for one in last.anchors if one.offset < position] if last else []
    if anchor is None or (older and older[0].offset >= anchor.offset):
        return Anchors(position, tuple(older)) if older else None
    return Anchors(position, (anchor, *_thinned(anchor.offset, older)))


def _thinned(offset: int, older: Sequence[Anchor]) -> list[Anchor]:
    """Keeps the oldest anchor of each range, which is the next to move into the following range."""
    kept = {((offset - anchor.offset).bit_length() - 1) // _BITS_PER_RANGE: anchor for anchor in older}
    return list(kept.values())[: ANCHORS_MAX - 1]


def packed(last: Anchors) -> str:
    return _as_json(last).decode()


def unpacked(stored: bytes | None, position: int | None) -> Anchors | None:
    """Returns None where nothing is stored, or where it does not belong to `position`: another release, which writes
    no anchors or another format, has moved the position.
    """
    try:
        last = _last.decode(stored or b"null")
    except msgspec.DecodeError:
        return None
    return last if last is not None and last.position == position and last.anchors else None
