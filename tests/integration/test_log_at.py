"""Looks up single records by offset, and detects that the log may have been replaced."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, TopicPartition

from events.errors import LogUnavailable
from events.logs.kafka.log import KafkaLog
from events.logs.kafka.url import kafka_settings
from events.logs.log import Entry, Log, Partition, Polled, Position, Record, Subscription
from events.logs.open import open_log
from tests.integration.test_kafka_log import NewTopic, opened
from tests.integration.test_kafka_reader import Transactions
from tests.servers.kafka import KafkaHome, KafkaServer, new_topic
from tests.servers.process import wait_until


def entries(count: int, tag: bytes) -> list[Entry]:
    return [Entry(b"og_1", b"%b%d" % (tag, n), (("n", b"%d" % n),)) for n in range(count)]


def values_at(log: Log, *offsets: int) -> list[bytes | None]:
    """Returns the values_at at these offsets of the only partition; None without a record."""
    (partition,) = log.partitions()
    found = [log.at({partition: offset})[partition] for offset in offsets]
    assert all(record is None or record.offset == offset for record, offset in zip(found, offsets, strict=True))
    return [record.value if record else None for record in found]


def test_in_a_file(tmp_path: Path) -> None:
    with open_log(f"sqlite://{tmp_path}/orders.db", {}) as log:
        log.create()
        assert log.at({}) == {}
        assert values_at(log, 0, 1) == [None, None]
        log.append(entries(3, b"v"))
        assert values_at(log, 2, 0, 3, 10**15) == [b"v2", b"v0", None, None]
        assert log.at({Partition("others", 0): 0}) == {Partition("others", 0): None}
        record = log.at({Partition("orders", 0): 1})[Partition("orders", 0)]
        assert record is not None
        assert (record.key, record.headers, record.epoch) == (b"og_1", (("n", b"1"),), None)


def test_in_a_topic(kafka: str, kafka_topic: NewTopic) -> None:
    with opened(kafka_topic(3)) as log:
        log.append([Entry(b"og_%d" % n, b"%d" % n) for n in range(300)])
        ends = log.end()
        assert min(ends.values()) > 60
        # Again, and backwards: other fetched records are not mistaken for the requested one.
        for offset in (50, 0, 51, 50, 60):
            found = log.at(dict.fromkeys(ends, offset))
            assert {p: record and (record.partition, record.offset) for p, record in found.items()} == {
                partition: (partition, offset) for partition in ends
            }
        assert log.at(ends) == dict.fromkeys(ends)
        first, *_ = sorted(ends)
        with closing(KafkaAdminClient(bootstrap_servers=kafka)) as admin:
            admin.delete_records({TopicPartition(*first): 20})
        found = log.at(dict.fromkeys(ends, 10))
        assert [partition for partition, record in found.items() if record is None] == [first]
        assert log.at({Partition("others", 0): 0}) == {Partition("others", 0): None}


def test_transactions_hide_no_record(kafka: str, kafka_topic: NewTopic) -> None:
    """Offsets: a C | b A | c, whose transaction is open."""
    with opened(kafka_topic(1)) as log, Transactions(kafka, log.topic) as transactions:
        transactions.begin(b"a")
        transactions.commit()
        transactions.begin(b"b")
        transactions.abort()
        transactions.begin(b"c")
        assert values_at(log, 0, 1, 2, 3, 4) == [b"a", None, b"b", None, b"c"]
        transactions.abort()


@pytest.fixture(scope="module")
def broker(kafka_server_home: KafkaHome) -> Iterator[KafkaServer]:
    with KafkaServer(kafka_server_home) as server:
        yield server


def read_on(subscription: Subscription, records: list[Record], until: Callable[[Polled], object]) -> None:
    """Reads until a poll satisfies `until`. The records must have the offsets 0, 1, 2, ..."""

    def is_there() -> bool:
        try:
            polled = subscription.poll(0.2, 10)
        except LogUnavailable:
            # The broker has not restarted yet.
            return False
        records.extend(polled.records)
        for partition in polled.assigned:
            # The group was restored too, and may not know us.
            subscription.seek(Position(partition, len(records)))
        return bool(until(polled))

    wait_until(is_there, 60, "a poll")


@pytest.mark.thorough
@pytest.mark.timeout(180)
def test_an_interruption_is_reported_before_records_of_other_files(broker: KafkaServer) -> None:
    """The broker restarts with a grown backup, while fetched records of the former log are still buffered."""
    settings = kafka_settings(new_topic(broker.bootstrap, 1), {})
    with KafkaLog(settings) as log:
        log.append(entries(100, b"common"))
    broker.kill()
    broker.backup()
    broker.restart()
    with KafkaLog(settings) as log:
        log.append(entries(100, b"former"))
    with KafkaLog(settings) as log, closing(log.subscribe()) as subscription:
        records: list[Record] = []
        read_on(subscription, records, lambda polled: polled.records)
        assert len(records) == 10
        assert values_at(log, 99) == [b"common99"]
        broker.kill()
        broker.restore()
        broker.restart()
        with KafkaLog(settings) as later:
            later.append(entries(200, b"later"))
        read_on(subscription, records, lambda polled: polled.interrupted)
        assert len(records) == 10
        read_on(subscription, records, lambda polled: len(records) >= 300)
        # Records that a look-up has fetched before are of the former files, too.
        assert values_at(log, 100) == [b"later0"]
    wanted = [entry.value for entry in (*entries(100, b"common"), *entries(200, b"later"))]
    assert [record.value for record in records] == wanted
