"""Batches of records as they lie in Kafka, read so that no producer can stop a partition.

The broker checks less of a batch than kafka-python 3.0 expects. One record makes kafka-python raise for the whole
partition, again after each restart: where the name of a header is not UTF-8, and where compressed records have a wrong
checksum or bytes behind them. A batch of some kilobytes may be gigabytes when it is decompressed. And where the
attributes of a record have their highest bit set, or the producer has numbered its records wrongly, kafka-python hands
them out under other offsets than theirs, so that events are passed over.

So the class with which kafka-python reads batches is replaced by a subclass, in the whole process. It decodes records
by itself. For a record that it cannot read it returns a stand-in with the record's offset, without key and value, and
with a header that says why; the log still has the record. A batch with a wrong CRC is damage on the broker's disk, and
raises as before.
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
    """A name as `name_of` has it, which kafka-python encodes as the bytes that it stands for."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return bytes_of(self)


def sendable_name(name: str) -> str:
    """The name as a producer of kafka-python needs it to send the bytes that it stands for."""
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
        # Compaction leaves gaps. Without them the order gives the offsets, whatever the producer has written.
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
                # Of the rest too: where the next record begins is unknown.
                self._give_up(number, f"expected records, got bytes that are none: {error}")
        return self._stand_in(number)

    next = __next__

    def _record(self, number: int) -> DefaultRecord:
        """The record at `_pos`, which moves behind it. Raises IndexError, ValueError for bytes that are none."""
        buffer = self._buffer
        length, start = decode_varint(buffer, self._pos)
        # Skips a byte of attributes, which Kafka does not use.
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
            self._give_up(0, f"expected compressed records, got bytes that are none: {error}")
            return
        if len(found) > BATCH_BYTES_MAX:
            self._give_up(0, f"expected at most {BATCH_BYTES_MAX} bytes of records in a batch, got more")
            return
        self._buffer, self._pos = bytearray(found), 0

    def _give_up(self, number: int, why: str) -> None:
        self._unreadable = why
        offset, count = self.base_offset + number, self._num_records - number
        log.warning("%d records from offset %d cannot be read: %s", count, offset, why)

    def _stand_in(self, number: int) -> DefaultRecord:
        headers = [(UNREADABLE, (self._unreadable or "").encode())]
        offset = self.base_offset + number
        return DefaultRecord(0, offset, self.max_timestamp, self.timestamp_type, None, None, headers)


def _decompressed(codec: int, data: bytes) -> bytes:
    """Cut off soon behind BATCH_BYTES_MAX, if there is more. Raises any of _NOT_READABLE."""
    limit = BATCH_BYTES_MAX + 1
    match codec:
        case DefaultRecordBatch.CODEC_GZIP:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
                return file.read(limit)
        case DefaultRecordBatch.CODEC_SNAPPY:
            # Needs no limit: it makes at most some twenty bytes of each.
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
    """Wrapped around, as sums of 64 bits are in Kafka."""
    return (number + 2**63) % 2**64 - 2**63


memory_records.DefaultRecordBatch = Batch
