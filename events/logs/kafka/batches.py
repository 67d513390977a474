"""Decodes Kafka's record batches so that no producer can stop a partition.

The broker checks less of a batch than kafka-python 3.0 expects. A single record makes kafka-python raise for the whole
partition, again after each restart, if a header name is not UTF-8, or if compressed records have a wrong checksum or
trailing bytes. A batch of some kilobytes may decompress to gigabytes. And if the highest bit of a record's attributes
is set, or the producer has numbered its records wrongly, kafka-python returns records under wrong offsets, so that
events are skipped.

This module replaces two classes of kafka-python by subclasses, in the whole process, which decode records themselves.
For an unreadable record they return a stand-in with the record's offset, without key and value, and with a header that
has the reason; the log still has the record. A batch with a wrong CRC is damage on the broker's disk, and raises as
before. They make a Record at once, which takes a third of the time of kafka-python's two objects and a Record of these.
https://kafka.apache.org/documentation/#messageformat
"""

import gzip
import io
import logging
import zlib
from collections.abc import Iterator
from functools import partial
from itertools import islice
from struct import error as StructError
from typing import Any

import lz4.frame
import snappy
import zstandard
from kafka.codec import snappy_decode
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.protocol.consumer import IsolationLevel
from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint

from events.logs.header_names import bytes_of, name_of
from events.logs.log import UNREADABLE, Headers, Partition, Record

# The largest batch that is decompressed, in bytes. Brokers limit what is compressed, by default to 1 MiB.
BATCH_BYTES_MAX = 64 * 1024 * 1024
PART_BYTES = 1024 * 1024
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


class Unreadable(Exception):
    """No record of a batch can be read. The text says why."""


class Batch(DefaultRecordBatch):  # type: ignore[misc]  # kafka-python has no types
    _buffer: bytearray
    _num_records: int
    _pos: int

    def records(self, partition: Partition) -> Iterator[Record]:
        epoch, count, number = self.leader_epoch, self._num_records, 0
        first_offset, first_ms = self.base_offset, self.first_timestamp
        at_broker_ms = self.max_timestamp if self.timestamp_type == self.LOG_APPEND_TIME else None
        # Compaction leaves gaps. Without gaps the order determines the offsets, whatever the producer has written.
        has_gaps = self.last_offset_delta + 1 != count
        raw, headers = b"\0", Headers()
        try:
            buffer, pos = self._content(), 0
            for number in range(count):
                length, start = decode_varint(buffer, pos)
                end = start + length
                # Skips the attributes, one byte that Kafka does not use.
                after_ms, pos = decode_varint(buffer, start + 1)
                delta, pos = decode_varint(buffer, pos)
                size, pos = decode_varint(buffer, pos)
                key = value = None
                if size >= 0:
                    key = buffer[pos : pos + size]
                    pos += size
                size, pos = decode_varint(buffer, pos)
                if size >= 0:
                    value = buffer[pos : pos + size]
                    pos += size
                # Most records have the headers of the one before.
                if buffer[pos:end] != raw or pos + len(raw) != end:
                    headers, raw = _headers(buffer, pos, end), buffer[pos:end]
                ms = _int64(first_ms + after_ms) if at_broker_ms is None else at_broker_ms
                offset = first_offset + (delta if has_gaps else number)
                yield Record(partition, offset, ms, key, value, headers, epoch)
                pos = end
            return
        except Unreadable as error:
            reason = str(error)
        except (IndexError, ValueError) as error:
            # Applies to all following records: the start of the next record is unknown.
            reason = f"expected records, got other bytes: {error}"
        log.warning("%d records from offset %d cannot be read: %s", count - number, first_offset + number, reason)
        headers = ((UNREADABLE, reason.encode()),)
        for offset in range(first_offset + number, first_offset + count):
            yield Record(partition, offset, self.max_timestamp, None, None, headers, epoch)

    def _content(self) -> bytes:
        """Returns the records, decompressed. Raises Unreadable."""
        content = bytes(memoryview(self._buffer)[self._pos :])
        if not self.compression_type:
            return content
        try:
            content = _decompressed(self.compression_type, content)
        except _NOT_READABLE as error:
            raise Unreadable(f"expected compressed records, got other bytes: {error}") from None
        if len(content) > BATCH_BYTES_MAX:
            raise Unreadable(f"expected at most {BATCH_BYTES_MAX} bytes of records in a batch, got more")
        return content


class PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """Yields our records, of batches of all formats."""

    def _unpack_records(self, topic_partition: Any, fetched: Any, *deserializers: None) -> Iterator[Record]:
        partition = Partition(*topic_partition)
        for batch in fetched:
            if not batch.validate_crc():
                raise CorruptRecordError(f"{partition}@{batch.base_offset}: the batch has another CRC than it says")
            self.bytes_read += batch.size_in_bytes
            if not isinstance(batch, Batch):
                for old in batch:
                    self.next_fetch_offset = old.offset + 1
                    yield Record(partition, old.offset, old.timestamp, old.key, old.value, (), self.leader_epoch)
                continue
            self.leader_epoch: int = batch.leader_epoch
            if not self._is_left_out(batch):
                for record in batch.records(partition):
                    self.next_fetch_offset = record.offset + 1
                    yield record
            # Compaction may have removed the last records.
            self.next_fetch_offset = batch.next_offset
        self.drain()

    def _is_left_out(self, batch: Batch) -> bool:
        """Whether the batch ends a transaction, or is part of an aborted one."""
        if self.isolation_level == IsolationLevel.READ_COMMITTED and batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            if self._contains_abort_marker(batch):
                self.aborted_producer_ids.discard(batch.producer_id)
            elif self._is_batch_aborted(batch):
                return True
        return bool(batch.is_control_batch)


def _headers(buffer: bytes, pos: int, end: int) -> Headers:
    """Decodes the headers from `pos` to `end`. Raises IndexError, ValueError for invalid bytes."""
    count, pos = decode_varint(buffer, pos)
    headers = []
    for _ in range(count):
        size, pos = decode_varint(buffer, pos)
        if size < 0:
            raise ValueError("a header has no name")
        name = name_of(buffer[pos : pos + size])
        size, pos = decode_varint(buffer, pos + size)
        headers.append((name, buffer[pos : pos + max(size, 0)]))
        pos += max(size, 0)
    if pos != end:
        raise ValueError(f"a record ends {pos - end} bytes after its length")
    return tuple(headers)


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
            with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
                # In parts: it allocates at once what it is asked for.
                parts = islice(iter(partial(reader.read, PART_BYTES), b""), limit // PART_BYTES + 1)
                return b"".join(parts)
        case _:
            raise ValueError(f"there is no codec {codec}")


def _int64(number: int) -> int:
    """Wraps around, as 64-bit sums do in Kafka."""
    return (number + 2**63) % 2**64 - 2**63


memory_records.DefaultRecordBatch = Batch
Fetcher.PartitionRecords = PartitionRecords
