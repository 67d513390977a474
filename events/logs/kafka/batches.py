"""Decodes Kafka's record batches so that no producer can stop a partition.

The broker checks less of a batch than kafka-python 3.0 expects. A single record makes kafka-python raise for the whole
partition, again after each restart, if a header name is not UTF-8, or if compressed records have a wrong checksum or
trailing bytes. A batch of some kilobytes may decompress to gigabytes. And if the highest bit of a record's attributes
is set, or the producer has numbered its records wrongly, kafka-python returns records under wrong offsets, so that
events are skipped.

This module replaces kafka-python's batch class by a subclass, in the whole process, which decodes records itself. For
an unreadable record it returns a stand-in with the record's offset, without key and value, and with a header that has
the reason; the log still has the record. A batch with a wrong CRC is damage on the broker's disk, and raises as before.
https://kafka.apache.org/documentation/#messageformat
"""

import gzip
import io
import logging
import zlib
from struct import error as StructError
from typing import Any

import lz4.frame
import snappy
import zstandard
from kafka.codec import snappy_decode
from kafka.record import memory_records
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch
from kafka.record.util import decode_varint

from events.logs.header_names import bytes_of, name_of
from events.logs.log import UNREADABLE

# The largest batch that is decompressed, in bytes. Brokers limit what is compressed, by default to 1 MiB.
BATCH_BYTES_MAX = 64 * 1024 * 1024
_NOT_READABLE = (
    EOFError,
    OSError,
    RuntimeError,
    StructError,
    ValueError,
    snappy.UncompressError,
    zlib.error,
    zstandard.ZstdError,
)

log = logging.getLogger(__name__)


class RawName(str):
    """A name from `name_of`, which kafka-python encodes to the original bytes."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return bytes_of(self)


def sendable_name(name: str) -> str:
    """Returns the name so that kafka-python's producer sends its original bytes."""
    return name if name.isascii() else RawName(name)


class Batch(DefaultRecordBatch):  # type: ignore[misc]  # kafka-python has no types
    _buffer: bytearray
    _decompressed: bool
    _next_record_index: int
    _num_records: int
    _pos: int

    def __init__(self, buffer: Any) -> None:
        super().__init__(buffer)
        self._is_control: bool = self.is_control_batch
        # Compaction leaves gaps. Without gaps the order determines the offsets, whatever the producer has written.
        self._has_gaps: bool = self.last_offset_delta + 1 != self._num_records
        self._unreadable: str | None = None

    def __next__(self) -> Any:
        if self._is_control:
            return super().__next__()
        number = self._next_record_index
        if number >= self._num_records:
            raise StopIteration
        self._next_record_index = number + 1
        if self._unreadable is None:
            try:
                return self._record(number)
            except (IndexError, ValueError) as error:
                # Applies to all following records: the start of the next record is unknown.
                self._mark_unreadable(number, f"expected records, got other bytes: {error}")
        return self._stand_in(number)

    next = __next__

    def _record(self, number: int) -> DefaultRecord:
        """Reads the record at `_pos`, and advances that. Raises IndexError, ValueError for invalid bytes."""
        buffer = self._buffer
        length, start = decode_varint(buffer, self._pos)
        # Skips the attributes, one byte that Kafka does not use.
        after_ms, pos = decode_varint(buffer, start + 1)
        delta, pos = decode_varint(buffer, pos)
        size, pos = decode_varint(buffer, pos)
        key = value = None
        if size >= 0:
            key = bytes(buffer[pos : pos + size])
            pos += size
        size, pos = decode_varint(buffer, pos)
        if size >= 0:
            value = bytes(buffer[pos : pos + size])
            pos += size
        count, pos = decode_varint(buffer, pos)
        headers: list[tuple[str, bytes | None]] = []
        while count > 0:
            count -= 1
            size, pos = decode_varint(buffer, pos)
            if size < 0:
                raise ValueError("a header has no name")
            raw = buffer[pos : pos + size]
            pos += size
            name = raw.decode() if raw.isascii() else sendable_name(name_of(bytes(raw)))
            size, pos = decode_varint(buffer, pos)
            if size < 0:
                headers.append((name, None))
                continue
            headers.append((name, bytes(buffer[pos : pos + size])))
            pos += size
        if pos - start != length:
            raise ValueError(f"a record of {length} bytes has {pos - start}")
        self._pos = pos
        at_broker = self.timestamp_type == self.LOG_APPEND_TIME
        timestamp_ms = self.max_timestamp if at_broker else _int64(self.first_timestamp + after_ms)
        offset = self.base_offset + (delta if self._has_gaps else number)
        return DefaultRecord(length, offset, timestamp_ms, self.timestamp_type, key, value, headers)

    def _maybe_uncompress(self) -> None:
        if self._decompressed or not self.compression_type:
            self._decompressed = True
            return
        self._decompressed = True
        try:
            found = _decompressed(self.compression_type, bytes(memoryview(self._buffer)[self._pos :]))
        except _NOT_READABLE as error:
            self._mark_unreadable(0, f"expected compressed records, got other bytes: {error}")
            return
        if len(found) > BATCH_BYTES_MAX:
            self._mark_unreadable(0, f"expected at most {BATCH_BYTES_MAX} bytes of records in a batch, got more")
            return
        self._buffer, self._pos = bytearray(found), 0

    def _mark_unreadable(self, number: int, reason: str) -> None:
        self._unreadable = reason
        offset, count = self.base_offset + number, self._num_records - number
        log.warning("%d records from offset %d cannot be read: %s", count, offset, reason)

    def _stand_in(self, number: int) -> DefaultRecord:
        headers = [(UNREADABLE, (self._unreadable or "").encode())]
        offset = self.base_offset + number
        return DefaultRecord(0, offset, self.max_timestamp, self.timestamp_type, None, None, headers)


def _decompressed(codec: int, data: bytes) -> bytes:
    """Decompresses at most a little more than BATCH_BYTES_MAX. Raises any of _NOT_READABLE."""
    limit = BATCH_BYTES_MAX + 1
    match codec:
        case DefaultRecordBatch.CODEC_GZIP:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
                return file.read(limit)
        case DefaultRecordBatch.CODEC_SNAPPY:
            # Needs no limit: snappy expands a byte to about twenty at most.
            found: bytes = snappy_decode(data)
            return found
        case DefaultRecordBatch.CODEC_LZ4:
            frame: bytes = lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=limit)
            return frame
        case DefaultRecordBatch.CODEC_ZSTD:
            with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True) as reader:
                return reader.read(limit)
        case _:
            raise ValueError(f"there is no codec {codec}")


def _int64(number: int) -> int:
    """Wraps around, as 64-bit sums do in Kafka."""
    return (number + 2**63) % 2**64 - 2**63


memory_records.DefaultRecordBatch = Batch
