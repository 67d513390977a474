"""Reads a real Kafka topic from given positions, without a group."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from events.errors import LogGap, LogMissing, LogUnavailable
from events.logs.kafka import client as kafka_client
from events.logs.kafka import reader as kafka_reader
from events.logs.kafka.log import KafkaLog
from events.logs.kafka.url import kafka_settings
from events.logs.log import Entry, Log, Partition, Reader, Record
from tests.integration.test_kafka_log import PATIENCE_S, SOON_BACK
from tests.servers.kafka import KafkaHome, KafkaServer
from tests.servers.process import wait_until
from tests.thorough import thorough

NewTopic = Callable[[int], str]
Positions = Mapping[Partition, int]


def opened(url: str) -> KafkaLog:
    return KafkaLog(kafka_settings(url, {}))


@contextmanager
def reading(log: Log, start: Positions) -> Iterator[Reader]:
    with closing(log.read(start)) as reader:
        yield reader


@contextmanager
def one_partition(url: str) -> Iterator[tuple[KafkaLog, Partition]]:
    with opened(url) as log:
        yield log, Partition(log.topic, 0)


def read_to(reader: Reader, stop: Positions, max_records: int = 500) -> list[Record]:
    """Reads until every position has reached its stop."""
    deadline_s = time.monotonic() + PATIENCE_S
    records: list[Record] = []
    while any(offset < stop.get(partition, 0) for partition, offset in reader.positions.items()):
        assert time.monotonic() < deadline_s, f"{len(records)} records, at {dict(reader.positions)} of {dict(stop)}"
        found = reader.poll(1.0, max_records, stop)
        assert len(found) <= max_records
        records += found
    return records


def offsets(records: Sequence[Record]) -> list[int]:
    return [record.offset for record in records]


def entries(count: int) -> list[Entry]:
    return [Entry(b"og_1", b"%d" % n, (("n", b"%d" % n),)) for n in range(count)]


class Transactions:
    """A transactional producer of another application, on partition 0."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._producer: Any = KafkaProducer(bootstrap_servers=bootstrap, transactional_id=uuid.uuid4().hex)
        self._producer.init_transactions()

    def __enter__(self) -> "Transactions":
        return self

    def __exit__(self, *_: object) -> None:
        self._producer.close()

    def begin(self, *values: bytes) -> None:
        self._producer.begin_transaction()
        for value in values:
            self._producer.send(self._topic, value, partition=0)
        self._producer.flush()

    def commit(self) -> None:
        self._producer.commit_transaction()

    def abort(self) -> None:
        self._producer.abort_transaction()


def delete_before(bootstrap: str, partition: Partition, offset: int) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        admin.delete_records({TopicPartition(*partition): offset})


def test_it_reads_all_partitions_in_order_from_given_positions(kafka_topic: NewTopic) -> None:
    with opened(kafka_topic(3)) as log:
        sent = [Entry(b"og_%d" % (n % 50), b"%d" % n, (("h", b"\xff"),)) for n in range(3000)]
        log.append(sent)
        end = log.end()
        start = {partition: offset // 2 for partition, offset in end.items()}
        with reading(log, start) as reader:
            assert reader.positions == start
            records = read_to(reader, end, 700)
            assert reader.positions == end
        for partition in end:
            assert offsets([r for r in records if r.partition == partition]) == list(
                range(start[partition], end[partition])
            )
        with reading(log, dict.fromkeys(end, 0)) as reader:
            found = read_to(reader, end)
        assert {(r.key, r.value, r.headers) for r in found} == {(e.key, e.value, e.headers) for e in sent}
        assert len(found) == len(sent)


def test_a_stop_is_exact_and_reading_resumes_there(kafka_topic: NewTopic) -> None:
    """Wherever the stop is within a fetch, reading resumes there."""
    with one_partition(kafka_topic(1)) as (log, partition):
        log.append(entries(1000))
        with reading(log, {partition: 3}) as reader:
            at = 3
            for stop in (4, 5, 300, 300, 301, 999, 1000):
                assert offsets(read_to(reader, {partition: stop}, 250)) == list(range(at, stop))
                assert reader.positions == {partition: stop}
                at = stop


def test_poll_returns_at_once_at_the_stops_and_in_time_elsewhere(kafka_topic: NewTopic) -> None:
    with one_partition(kafka_topic(1)) as (log, partition):
        log.append(entries(10))
        with reading(log, {partition: 0}) as reader:
            read_to(reader, {partition: 10})
            started_s = time.monotonic()
            for stop in ({partition: 10}, {partition: 4}, {}):
                assert reader.poll(PATIENCE_S, 10, stop) == []
            assert time.monotonic() - started_s < 0.5
            assert reader.poll(0.3, 10, {partition: 11}) == []
            assert 0.3 <= time.monotonic() - started_s < 2.0
            log.append(entries(1))
            assert offsets(reader.poll(PATIENCE_S, 10, {partition: 11})) == [10]
            assert reader.positions == {partition: 11}


def test_a_partition_without_a_stop_waits_for_one(kafka_topic: NewTopic) -> None:
    with opened(kafka_topic(2)) as log:
        log.append([Entry(b"og_%d" % n, b"") for n in range(200)])
        one, other = log.partitions()
        end = log.end()
        with reading(log, {one: 0, other: 0}) as reader:
            assert {r.partition for r in read_to(reader, {one: 5, other: 2})} == {one, other}
            assert offsets(read_to(reader, {one: end[one]})) == list(range(5, end[one]))
            assert reader.positions == {one: end[one], other: 2}
            assert offsets(read_to(reader, end)) == list(range(2, end[other]))


def test_a_partition_resumes_at_its_stop_after_all_others_were_read(kafka_topic: NewTopic) -> None:
    """Its stop is within a fetch, and the other partitions are read completely."""
    with opened(kafka_topic(3)) as log:
        log.append([Entry(b"og_%d" % n, b"") for n in range(300)])
        one, *others = log.partitions()
        end = log.end()
        with reading(log, dict.fromkeys(end, 0)) as reader:
            assert offsets(read_to(reader, {one: 10}, max_records=10)) == list(range(10))
            assert len(read_to(reader, end | {one: 10})) == sum(end[other] for other in others)
            assert offsets(read_to(reader, end)) == list(range(10, end[one]))


def test_a_partition_resumes_at_its_stop_while_others_are_read(
    kafka_topic: NewTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others have more than one fetch left."""
    monkeypatch.setattr(kafka_reader, "FETCH_PARTITION_BYTES_MAX", 2000)
    with opened(kafka_topic(3)) as log:
        for _ in range(60):
            log.append([Entry(b"og_%d" % n, b"") for n in range(100)])
        one, *others = log.partitions()
        end = log.end()
        with reading(log, dict.fromkeys(end, 0)) as reader:
            assert offsets(read_to(reader, {one: 10}, max_records=10)) == list(range(10))
            for _ in range(5):
                assert reader.poll(PATIENCE_S, 10, end | {one: 10})
            while reader.positions[one] == 10:
                assert reader.poll(PATIENCE_S, 10, end)
            assert all(reader.positions[other] < end[other] for other in others)


@pytest.mark.parametrize("max_records", [3, *thorough(1, 500)])
def test_positions_pass_markers_and_aborted_records(kafka: str, kafka_topic: NewTopic, max_records: int) -> None:
    """Offsets: a b C | x y A | c C | z A, where C and A are Kafka's markers of commit and abort."""
    with one_partition(kafka_topic(1)) as (log, partition):
        with Transactions(kafka, log.topic) as transactions:
            for values, end in (
                ((b"a", b"b"), transactions.commit),
                ((b"x", b"y"), transactions.abort),
                ((b"c",), transactions.commit),
                ((b"z",), transactions.abort),
            ):
                transactions.begin(*values)
                end()
        assert log.end() == {partition: 10}
        with reading(log, {partition: 0}) as reader:
            records = read_to(reader, {partition: 10}, max_records)
            assert [(r.offset, r.value) for r in records] == [(0, b"a"), (1, b"b"), (6, b"c")]
            assert reader.positions == {partition: 10}
        for start in range(10):
            with reading(log, {partition: start}) as reader:
                expected = [offset for offset in (0, 1, 6) if start <= offset < 7]
                assert offsets(read_to(reader, {partition: 7}, max_records)) == expected
                assert reader.positions[partition] >= 7
                assert read_to(reader, {partition: 10}) == []


def test_an_open_transaction_blocks(kafka: str, kafka_topic: NewTopic) -> None:
    with one_partition(kafka_topic(1)) as (log, partition), Transactions(kafka, log.topic) as transactions:
        log.append(entries(2))
        transactions.begin(b"open")
        log.append(entries(1))
        assert (log.end(), log.held_back(log.end())) == ({partition: 4}, {partition: 2})
        with reading(log, {partition: 0}) as reader:
            assert offsets(read_to(reader, {partition: 2})) == [0, 1]
            assert reader.poll(0.3, 10, log.end()) == []
            assert reader.positions == {partition: 2}
            transactions.commit()
            assert offsets(read_to(reader, log.end())) == [2, 3]
        assert (log.end(), log.held_back(log.end())) == ({partition: 5}, {partition: 0})


def test_a_dropped_position_is_a_gap(kafka: str, kafka_topic: NewTopic) -> None:
    with one_partition(kafka_topic(1)) as (log, partition):
        log.append(entries(10))
        assert log.first_times()[partition] == read_first(log, partition).timestamp_ms
        delete_before(kafka, partition, 5)
        for start in (4, 11):
            with reading(log, {partition: start}) as reader:
                for _ in range(2):
                    with pytest.raises(LogGap, match=f"^{log.topic}/0@{start} is not in the log"):
                        read_to(reader, {partition: 20})
                assert reader.positions == {partition: start}
        with reading(log, {partition: 5}) as reader:
            assert offsets(read_to(reader, {partition: 10})) == [5, 6, 7, 8, 9]


def test_records_deleted_under_a_reader_are_a_gap(kafka: str, kafka_topic: NewTopic) -> None:
    with one_partition(kafka_topic(1)) as (log, partition):
        log.append(entries(10))
        with reading(log, {partition: 0}) as reader:
            assert offsets(read_to(reader, {partition: 2})) == [0, 1]
            log.append(entries(10))
            delete_before(kafka, partition, 15)
            with pytest.raises(LogGap, match=f"^{log.topic}/0@2 is not in the log"):
                read_to(reader, {partition: 20})


def read_first(log: Log, partition: Partition) -> Record:
    with reading(log, log.first()) as reader:
        return read_to(reader, {partition: log.first()[partition] + 1})[0]


def test_the_first_time_is_of_the_oldest_available_record(kafka: str, kafka_topic: NewTopic) -> None:
    with opened(kafka_topic(2)) as log:
        one, other = log.partitions()
        assert log.first_times() == {one: None, other: None}
        with closing(KafkaProducer(bootstrap_servers=kafka)) as producer:
            for time_ms in (1_000, 3_000, 2_000, 4_000):
                producer.send(log.topic, b"", partition=0, timestamp_ms=time_ms).get(PATIENCE_S)
        assert log.first_times() == {one: 1_000, other: None}
        delete_before(kafka, one, 1)
        assert log.first_times() == {one: 3_000, other: None}
        assert log.first() == {one: 1, other: 0}
        assert read_first(log, one).timestamp_ms == 3_000
        delete_before(kafka, one, 4)
        assert log.first_times() == {one: None, other: None}


def test_a_topic_created_again_is_another_log(
    kafka: str, kafka_topic: NewTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_reader, "MISSING_MAX_S", 0.5)
    url = kafka_topic(1)
    with one_partition(url) as (log, partition):
        log.append(entries(10))
        identity = log.identity()
        with opened(url) as again:
            assert again.identity() == identity
        with reading(log, {partition: 0}) as reader:
            read_to(reader, {partition: 10})
            with closing(KafkaAdminClient(bootstrap_servers=kafka)) as admin:
                admin.delete_topics([log.topic])
            with pytest.raises(LogMissing, match=f"^there is no topic {log.topic}"):
                read_to(reader, {partition: 20})
        with pytest.raises(LogMissing):
            log.identity()
        with pytest.raises(LogMissing):
            log.read({partition: 0})
        assert log.create()
        assert log.identity() not in (identity, "")
        with reading(log, {partition: 10}) as reader, pytest.raises(LogGap):
            read_to(reader, {partition: 20})


def test_a_missing_partition_is_an_error(kafka_topic: NewTopic) -> None:
    with opened(kafka_topic(2)) as log, pytest.raises(LogMissing, match=f"has no {log.topic}/2, {log.topic}/7$"):
        log.read({Partition(log.topic, number): 0 for number in (7, 0, 2)})


def test_a_broker_restarts(kafka_server_home: KafkaHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_client, "DISCONNECTED_MAX_S", 1.0)
    with (
        KafkaServer(kafka_server_home, SOON_BACK) as server,
        opened(f"kafka://{server.bootstrap}/orders?partitions=1") as log,
    ):
        log.create()
        log.append(entries(10))
        partition = Partition("orders", 0)
        with reading(log, {partition: 0}) as reader:
            assert len(read_to(reader, {partition: 10})) == 10
            server.kill()
            with pytest.raises(LogUnavailable, match="no broker has been reachable for"):
                read_to(reader, {partition: 15})
            server.restart()
            wait_until(lambda: _answered(lambda: log.append(entries(5))), PATIENCE_S, "append")
            found: list[Record] = []

            def rest() -> bool:
                found.extend(reader.poll(0.5, 100, {partition: 15}))
                return reader.positions == {partition: 15}

            wait_until(lambda: _answered(rest) and len(found) == 5, PATIENCE_S, "the rest")
            assert offsets(found) == list(range(10, 15))


def _answered(call: Callable[[], object]) -> bool:
    try:
        call()
    except LogUnavailable:
        return False
    return True
