"""The stored form of a parked record: a value of the hash `parked`."""

import zlib
from hashlib import blake2b

from msgspec import Struct, field

# As in events/logs/log.py.
Headers = tuple[tuple[str, bytes], ...]


class Compressed(Struct, frozen=True):
    """A compressed value. In JSON it is an object, not a string, so that an earlier release, which has no compression,
    refuses it instead of taking it for the value.
    """

    zlib: bytes


class StoredParked(Struct, frozen=True, kw_only=True):
    """In JSON `key`, `value` and the header values are base64. `kept` is `value` as it is stored.

    `time`: `timestamp_ms`, set by the log, as RFC 3339; None outside the years 1 to 9999.
    `parked_at`: None where an earlier release parked the record. `attempts`: of applying it.
    `counted`: bytes that count against the limit, about its size in Redis; 0 where an earlier release parked it.
    `with_payload`: False where key, value and headers are in the log alone, because PERSONAL_DATA is off.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    time: str | None
    reason: str
    key: bytes | None
    kept: bytes | Compressed | None = field(name="value")
    headers: Headers
    parked_at: str | None = None
    attempts: int = 1
    counted: int = 0
    with_payload: bool = True

    @property
    def position(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}"

    @property
    def partition_name(self) -> str:
        return f"{self.topic}/{self.partition}"

    def uncompressed(self) -> bytes | None:
        """Returns the value as read from the log. Raises zlib.error for a damaged one."""
        return zlib.decompress(self.kept.zlib) if isinstance(self.kept, Compressed) else self.kept


def digest(stored: bytes) -> str:
    """Returns 16 hexadecimal digits that change with the stored JSON: with its reason, its attempts, its contents."""
    return blake2b(stored, digest_size=8).hexdigest()
