"""Record batches: good ones decode as in kafka-python, bad ones do not stop the partition."""

import gzip
import struct

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.structs import TopicPartition

from events.logs.header_names import bytes_of, is_utf8, name_of
from events.logs.kafka import batches as kafka_batches
from events.logs.kafka.batches import Batch, PartitionRecords, sendable_name
from events.logs.log import Partition, Record
from tests.integration.raw_kafka import batch, record

names = st.text(st.characters(exclude_categories=["Cs", "Co"]), max_size=9)
values = st.one_of(st.none(), st.binary(max_size=20))
records = st.lists(st.tuples(values, values, st.lists(st.tuples(names, values), max_size=3)), min_size=1, max_size=5)


def read(data: bytes) -> list[Record]:
    return list(Batch(data).records(Partition("orders", 0)))


@given(records, st.integers(0, 4), st.lists(st.integers(1, 3), min_size=5, max_size=5))
def test_a_good_batch_decodes_as_in_kafka_python(
    given: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]], codec: int, steps: list[int]
) -> None:
    """Also with gaps of compaction."""
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 1_000_000)
    offset = 0
    for (key, value, headers), step in zip(given, steps, strict=False):
        offset += step - 1
        builder.append(offset, 1_780_308_000_000 + offset, key, value, headers)
        offset += 1
    data = bytes(builder.build())
    found = [(one.offset, one.timestamp_ms, one.key, one.value, one.headers) for one in read(data)]
    assert found == [
        (one.offset, one.timestamp, one.key, one.value, tuple((name, value or b"") for name, value in one.headers))
        for one in DefaultRecordBatch(data)
    ]


def test_kafka_python_uses_our_classes() -> None:
    assert type(MemoryRecords(batch(record(b"v"))).next_batch()) is Batch
    assert Fetcher.PartitionRecords is PartitionRecords


def taken(magic: int) -> list[Record]:
    """Returns what kafka-python reads of two batches, the second with another CRC, from offset 1 on."""
    builders = [MemoryRecordsBuilder(magic, 1, 1_000_000, offset=offset) for offset in (0, 2)]
    for builder in builders:
        for number in range(2):
            builder.append(1_780_308_000_000 + number, b"k", b"%d" % number)
        builder.close()
    first, second = (bytes(builder.buffer()) for builder in builders)
    fetched = PartitionRecords(1, TopicPartition("orders", 0), MemoryRecords(first + second[:-1] + b"\xff"))
    found: list[Record] = fetched.take(9)
    with pytest.raises(CorruptRecordError):
        fetched.take(9)
    return found


def test_a_batch_of_an_old_format_is_read() -> None:
    assert taken(1) == [Record(Partition("orders", 0), 1, 1_780_308_000_001, b"k", b"1", (), -1)]


def test_a_batch_with_another_crc_raises_after_the_one_before() -> None:
    assert taken(2) == [Record(Partition("orders", 0), 1, 1_780_308_000_001, b"k", b"1", (), 0)]


@given(st.binary(max_size=200), st.integers(1, 9), st.sampled_from([0, 1, 2, 3, 4]))
def test_every_offset_of_any_batch_has_a_record(data: bytes, count: int, codec: int) -> None:
    found = read(batch(data, count, codec=codec))
    assert [one.offset for one in found] == list(range(count))


def test_records_before_a_bad_record_are_read() -> None:
    found = read(batch(record(b"a") + record(b"b", offset=1) + b"\x50", 4))
    assert [one.value for one in found] == [b"a", b"b", None, None]
    assert [name for name, _ in found[2].headers] == ["kafka-unreadable"]


@pytest.mark.parametrize("deltas", [(0, 0), (7, 3), (-1, 1)])
def test_offsets_follow_the_order(deltas: tuple[int, int]) -> None:
    data = batch(record(b"a", offset=deltas[0]) + record(b"b", offset=deltas[1]), 2)
    assert [(one.offset, one.value) for one in read(data)] == [(0, b"a"), (1, b"b")]


def test_attributes_are_one_byte() -> None:
    (found,) = read(batch(record(b"v", attributes=0x80, after_ms=5), timestamp_ms=1000))
    assert (found.offset, found.timestamp_ms, found.key, found.value) == (0, 1005, b"k", b"v")


def test_times_have_64_bits() -> None:
    (found,) = read(batch(record(b"v", after_ms=-(2**63)), timestamp_ms=-(2**63) + 5))
    assert found.timestamp_ms == 5


@pytest.mark.parametrize(("codec", "compress"), [(1, gzip.compress), (4, zstandard.compress)])
def test_a_batch_that_decompresses_too_large_is_refused(
    codec: int, compress: "type[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    data = batch(compress(record(b"\0" * 5000)), codec=codec)
    assert [len(one.value or b"") for one in read(data)] == [5000]
    monkeypatch.setattr(kafka_batches, "BATCH_BYTES_MAX", 4000)
    (found,) = read(data)
    assert (found.value, found.headers) == (
        None,
        (("kafka-unreadable", b"expected at most 4000 bytes of records in a batch, got more"),),
    )


@given(st.one_of(st.binary(max_size=12), st.text(max_size=9).map(lambda text: text.encode(errors="surrogatepass"))))
def test_any_header_name_round_trips(raw: bytes) -> None:
    name = name_of(raw)
    assert bytes_of(name) == raw
    assert msgspec.json.decode(msgspec.json.encode(name)) == name
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(name)) == name
    try:
        raw.decode()
    except UnicodeDecodeError:
        assert not is_utf8(name)
    else:
        assert is_utf8(name)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"trace", "trace"),
        ("größe".encode(), "größe"),
        (b"tr\xff", "tr\U0010feff"),
        ("\U0010feff".encode(), "\U0010fef4\U0010fe8f\U0010febb\U0010febf"),
        (b"\xed\xa0\x80", "\U0010feed\U0010fea0\U0010fe80"),
    ],
)
def test_header_names_and_their_text(raw: bytes, name: str) -> None:
    assert name_of(raw) == name
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1_000_000)
    builder.append(0, 0, None, None, [(sendable_name(name), b"h")])
    assert bytes(builder.build()).endswith(struct.pack("B", 2 * len(raw)) + raw + b"\x02h")
