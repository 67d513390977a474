"""Digests of some of the records before a position, by which a log is recognized. Pure.

Offsets alone do not tell one log from another: a log that is put back to an older state, and then grows past the
position, holds other records at the same offsets.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import msgspec
from msgspec import Struct

from events.logs.log import UNREADABLE, Partition, Record

# Beside the newest anchor there is at most one for each range of distances from 4^k to 4^(k+1), in offsets.
ANCHORS_MAX = 16
_BITS_PER_RANGE = 2


class Anchor(Struct, frozen=True, array_like=True, gc=False):
    """A record that was applied. `digest`: 64 bits of BLAKE2b in hexadecimal digits, empty for a record that the client
    library could not read. `epoch`: as in Record.
    """

    offset: int
    digest: str
    epoch: int | None


class Last(Struct, frozen=True, array_like=True, gc=False):
    """Stored next to `position`: anchors of the last record applied before it, then of older ones, fewer and fewer."""

    position: int
    anchors: tuple[Anchor, ...]


_encode = msgspec.msgpack.Encoder().encode
_as_json = msgspec.json.Encoder().encode
_last = msgspec.json.Decoder(Last | None)


def anchor_of(record: Record) -> Anchor:
    if any(name == UNREADABLE for name, _ in record.headers):
        return Anchor(record.offset, "", record.epoch)
    headers = [(name.encode(errors="surrogatepass"), value) for name, value in record.headers]
    content = _encode((record.timestamp_ms, record.key, record.value, headers))
    return Anchor(record.offset, blake2b(content, digest_size=8).hexdigest(), record.epoch)


def newest(records: Iterable[Record]) -> dict[Partition, Anchor]:
    """The anchor of the last record of each partition. The records of a partition come in its order."""
    return {p: anchor_of(record) for p, record in {record.partition: record for record in records}.items()}


def follow(last: Last | None, anchor: Anchor | None, position: int) -> Last | None:
    """What to store next to `position`, given `last`, the one before. `anchor`: of the newest record since, if any."""
    older = [one for one in last.anchors if one.offset < position] if last else []
    if anchor is None or (older and older[0].offset >= anchor.offset):
        return Last(position, tuple(older)) if older else None
    return Last(position, (anchor, *_thinned(anchor.offset, older)))


def _thinned(offset: int, older: Sequence[Anchor]) -> list[Anchor]:
    """Keeps the oldest of each range of distances: it is the next one to reach the following range."""
    kept = {((offset - anchor.offset).bit_length() - 1) // _BITS_PER_RANGE: anchor for anchor in older}
    return list(kept.values())[: ANCHORS_MAX - 1]


def packed(last: Last) -> str:
    return _as_json(last).decode()


def unpacked(stored: bytes | None, position: int | None) -> Last | None:
    """None where nothing is stored, or nothing that fits: another release, which writes none or in another form, has
    moved the position.
    """
    try:
        last = _last.decode(stored or b"null")
    except msgspec.DecodeError:
        return None
    return last if last is not None and last.position == position and last.anchors else None
