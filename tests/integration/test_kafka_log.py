"""The log on a real Kafka broker."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from events.errors import BadLogUrl, LogGap, LogMissing, LogUnavailable
from events.lines import RECORD_BYTES_MAX
from events.logs.kafka import client as kafka_client
from events.logs.kafka import log as kafka_log
from events.logs.kafka import subscription as kafka_subscription
from events.logs.kafka.log import KafkaLog
from events.logs.kafka.url import kafka_settings
from events.logs.log import Entry, Log, Loss, Partition, Polled, Position, Record, Subscription
from tests.servers.kafka import KafkaHome, KafkaServer
from tests.servers.process import free_port, wait_until

# Time limit of Kafka's steps, in seconds.
PATIENCE_S = 30.0
# A killed broker can register again only after its former session has expired.
SOON_BACK = {"broker.session.timeout.ms": "1000", "broker.heartbeat.interval.ms": "300"}

NewTopic = Callable[[int], str]


def opened(url: str) -> KafkaLog:
    return KafkaLog(kafka_settings(url, {}))


def entries(count: int, key: bytes | None = b"og_1") -> list[Entry]:
    return [Entry(key, b'{"n":%d}' % n, (("content-type", b"application/json"),)) for n in range(count)]


def keys_for(log: Log, count: int) -> list[Entry]:
    return [Entry(b"og_%d" % n, b"%d" % n) for n in range(count)]


@contextmanager
def subscribed(log: Log) -> Iterator[Subscription]:
    with closing(log.subscribe()) as subscription:
        yield subscription


def assigned(subscription: Subscription, count: int) -> list[Partition]:
    """Polls until `count` partitions are assigned and not yet sought."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        polled = subscription.poll(0.1, 500)
        if len(polled.assigned) >= count:
            return list(polled.assigned)
        assert time.monotonic() < deadline_s, f"assigned {polled.assigned}, wanted {count}"


def read(subscription: Subscription, count: int, max_records: int = 500) -> list[Record]:
    deadline_s = time.monotonic() + PATIENCE_S
    records: list[Record] = []
    while len(records) < count:
        assert time.monotonic() < deadline_s, f"{len(records)} of {count} records"
        records += subscription.poll(1.0, max_records).records
    return records


def offsets(records: Sequence[Record]) -> list[int]:
    return [record.offset for record in records]


def test_appended_records_are_read_at_their_positions(kafka_topic: NewTopic) -> None:
    with opened(kafka_topic(3)) as log:
        sent = [*keys_for(log, 100), *entries(20), *entries(5, key=None)]
        positions = log.append(sent[:60]) + log.append(sent[60:])
        assert {position.partition.number for position in positions} == {0, 1, 2}
        with subscribed(log) as subscription:
            for partition in assigned(subscription, 3):
                subscription.seek(Position(partition, 0))
            records = read(subscription, len(sent))
        found = {Position(record.partition, record.offset + 1): record for record in records}
        assert len(found) == len(sent)
        for entry, position in zip(sent, positions, strict=True):
            record = found[position]
            assert (record.key, record.value, record.headers) == (entry.key, entry.value, entry.headers)
            assert abs(record.timestamp_ms / 1000 - time.time()) < 600
        ends = {partition: sum(p.partition == partition for p in positions) for partition in log.partitions()}
        assert log.end() == ends
        assert log.first() == dict.fromkeys(ends, 0)


def test_keys_are_partitioned_like_other_clients_do(kafka_topic: NewTopic) -> None:
    """murmur2 as in Kafka's clients, with the values of its UtilsTest.testMurmur2."""
    known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    with opened(kafka_topic(5)) as log:
        positions = log.append([Entry(key, b"") for key in known])
    assert [position.partition.number for position in positions] == [(h & 0x7FFFFFFF) % 5 for h in known.values()]


def test_a_partition_is_not_read_before_it_is_sought(kafka_topic: NewTopic) -> None:
    with opened(kafka_topic(2)) as log, subscribed(log) as subscription:
        log.append(keys_for(log, 50))
        both = assigned(subscription, 2)
        for _ in range(3):
            polled = subscription.poll(0.2, 500)
            assert (sorted(polled.assigned), polled.records) == (sorted(both), [])
        subscription.seek(Position(both[0], 1))
        polled = subscription.poll(0.2, 500)
        assert polled.assigned == [both[1]]
        # Records of the first one may have arrived already.
        records = [*polled.records, *read(subscription, log.end()[both[0]] - 1 - len(polled.records))]
        assert {record.partition for record in records} == {both[0]}
        assert offsets(records) == list(range(1, log.end()[both[0]]))


def test_every_seek_is_exact_whatever_was_fetched_before(kafka_topic: NewTopic) -> None:
    """Back and forth, into compressed batches, with buffered records and fetches in flight."""
    chance = random.Random(7)
    with opened(kafka_topic(2)) as log, subscribed(log) as subscription:
        for _ in range(10):
            log.append(keys_for(log, 800))
        ends = log.end()
        expected = {}
        for partition in assigned(subscription, 2):
            subscription.seek(Position(partition, 0))
            expected[partition] = 0
        seen = 0
        for _ in range(300):
            for record in subscription.poll(0.05, chance.choice((1, 7, 100, 1000))).records:
                assert record.offset == expected[record.partition]
                expected[record.partition] += 1
                seen += 1
            if chance.random() < 0.7:
                partition = chance.choice(list(expected))
                near = chance.random() < 0.5
                offset = (
                    max(expected[partition] - chance.randrange(50), 0) if near else chance.randrange(ends[partition])
                )
                subscription.seek(Position(partition, offset))
                expected[partition] = offset
        assert seen > 5000


def test_a_seek_is_ignored_for_a_partition_that_is_not_ours(kafka_topic: NewTopic) -> None:
    with opened(kafka_topic(1)) as log, subscribed(log) as subscription:
        log.append(entries(3))
        subscription.seek(Position(Partition(log.topic, 0), 1))
        (partition,) = assigned(subscription, 1)
        subscription.seek(Position(Partition(log.topic, 7), 1))
        subscription.seek(Position(partition, 1))
        assert offsets(read(subscription, 2)) == [1, 2]


def test_a_paused_partition_waits_until_it_is_sought(kafka_topic: NewTopic) -> None:
    with opened(kafka_topic(2)) as log:
        log.append(keys_for(log, 40))
        with subscribed(log) as subscription:
            first, second = sorted(assigned(subscription, 2))
            for partition in (first, second):
                subscription.seek(Position(partition, 0))
            subscription.pause(first)
            end = log.end()
            assert {record.partition for record in read(subscription, end[second])} == {second}
            assert subscription.poll(0.5, 500).records == []
            subscription.seek(Position(first, 3))
            assert offsets(read(subscription, end[first] - 3)) == list(range(3, end[first]))


def test_a_partly_read_partition_continues_after_others(kafka_topic: NewTopic) -> None:
    with opened(kafka_topic(2)) as log:
        log.append(keys_for(log, 100))
        with subscribed(log) as subscription:
            first, second = sorted(assigned(subscription, 2))
            subscription.seek(Position(first, 0))
            assert offsets(read(subscription, 10, max_records=10)) == list(range(10))
            subscription.pause(first)
            subscription.seek(Position(second, 0))
            end = log.end()
            assert {record.partition for record in read(subscription, end[second])} == {second}
            subscription.seek(Position(first, 10))
            assert offsets(read(subscription, end[first] - 10)) == list(range(10, end[first]))


class Member(threading.Thread):
    """Reads its partitions from the start, in a thread, like a projector, and records what it read in order."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self.records: list[Record] = []
        self.held: set[Partition] = set()
        self._log = log
        self._stop_asked = threading.Event()
        self.start()

    def run(self) -> None:
        with subscribed(self._log) as subscription:
            while not self._stop_asked.is_set():
                polled = subscription.poll(0.2, 50)
                self.held = (self.held - set(polled.revoked)) | set(polled.assigned)
                for partition in polled.assigned:
                    subscription.seek(Position(partition, 0))
                self.records += polled.records

    def stop(self) -> None:
        self._stop_asked.set()
        self.join()


def test_two_members_share_and_one_takes_over(kafka_topic: NewTopic) -> None:
    url = kafka_topic(4)
    with opened(url) as log, opened(url) as one_log, opened(url) as two_log:
        one, two = Member(one_log), Member(two_log)
        try:
            # Once the group is stable, each member reads two partitions of its own.
            deadline_s = time.monotonic() + PATIENCE_S
            while True:
                last = {position.partition: position for position in log.append(keys_for(log, 40))}
                wait_until(partial(have_read, last.values(), one, two), PATIENCE_S, "all is read")
                ours, theirs = (
                    {partition for partition, position in last.items() if position in positions_after(member)}
                    for member in (one, two)
                )
                if len(ours) == len(theirs) == 2 and not ours & theirs:
                    break
                assert time.monotonic() < deadline_s, (ours, theirs)
            assert (one.held, two.held) == (ours, theirs), "revocations were not reported"
            read_by_two = len(two.records)
            one.stop()
            wait_until(partial(have_read, last.values(), two), PATIENCE_S, "the other takes over")
            taken = two.records[read_by_two:]
            for partition in ours:
                assert offsets([r for r in taken if r.partition == partition]) == list(range(last[partition].offset))
        finally:
            one.stop()
            two.stop()


def have_read(positions: Iterable[Position], *members: Member) -> bool:
    return set(positions) <= positions_after(*members)


def positions_after(*members: Member) -> set[Position]:
    return {Position(record.partition, record.offset + 1) for member in members for record in list(member.records)}


def test_a_static_member_returns_at_once_and_is_fenced_by_a_second_one(kafka_topic: NewTopic) -> None:
    url = kafka_topic(2) + "&instance=projector-0"
    with opened(url) as log, opened(url) as other:
        log.append(keys_for(log, 10))
        with subscribed(log) as subscription:
            partitions = assigned(subscription, 2)
        started_s = time.monotonic()
        with subscribed(log) as back, subscribed(other) as second:
            assert assigned(back, 2) == partitions
            assert time.monotonic() - started_s < kafka_subscription.SESSION_MS / 1000 / 2
            assert assigned(second, 2) == partitions
            with pytest.raises(LogUnavailable, match="another process has our instance id 'projector-0' in the group"):
                wait_until(lambda: bool(back.poll(0.1, 1).records), PATIENCE_S, "shut out")


def test_a_static_member_without_partitions_is_fenced_too(kafka_topic: NewTopic) -> None:
    url = kafka_topic(1)
    one, other = url + "&instance=projector-0", url + "&instance=projector-1"
    with (
        opened(one) as log,
        opened(other) as idle_log,
        opened(other) as second_log,
        subscribed(log) as first,
        subscribed(idle_log) as idle,
        subscribed(second_log) as second,
    ):
        assigned(first, 1)

        def joined(member: Subscription) -> bool:
            first.poll(0.0, 1)
            return member.poll(0.1, 1).assigned == [] and member.owned() == set()

        wait_until(lambda: joined(idle), PATIENCE_S, "a member without partitions")
        wait_until(lambda: joined(second), PATIENCE_S, "the second one")
        with pytest.raises(LogUnavailable, match="FENCED_INSTANCE_ID"):
            wait_until(lambda: bool(idle.poll(0.1, 1).records), PATIENCE_S, "shut out")


def test_added_partitions_are_assigned(kafka: str, kafka_topic: NewTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_subscription, "METADATA_AGE_MAX_MS", 500)
    with opened(kafka_topic(1)) as log, subscribed(log) as subscription:
        (partition,) = assigned(subscription, 1)
        subscription.seek(Position(partition, 0))
        with closing(KafkaAdminClient(bootstrap_servers=kafka)) as admin:
            admin.create_partitions({log.topic: 3})
        assert sorted(p.number for p in assigned(subscription, 2)) == [1, 2]
        assert [p.number for p in log.partitions()] == [0, 1, 2]


def test_marks_are_the_groups_committed_offsets(kafka: str, kafka_topic: NewTopic) -> None:
    with opened(kafka_topic(1)) as log, subscribed(log) as subscription:
        log.append(entries(10))
        (partition,) = assigned(subscription, 1)
        subscription.seek(Position(partition, 0))
        read(subscription, 10)
        subscription.mark({partition: 7, Partition(log.topic, 5): 3})
        with closing(KafkaAdminClient(bootstrap_servers=kafka)) as admin:

            def marked() -> bool:
                subscription.poll(0.01, 1)
                found = admin.list_group_offsets({log.topic: None})[log.topic]
                return {tp.partition: at.offset for tp, at in found.items()} == {0: 7}

            wait_until(marked, PATIENCE_S, "marked")


def test_a_tombstone_has_no_value(kafka: str, kafka_topic: NewTopic) -> None:
    with opened(kafka_topic(1)) as log, subscribed(log) as subscription:
        with closing(KafkaProducer(bootstrap_servers=kafka)) as producer:
            producer.send(log.topic, None, key=b"og_1").get(PATIENCE_S)
        (partition,) = assigned(subscription, 1)
        subscription.seek(Position(partition, 0))
        (record,) = read(subscription, 1)
        assert (record.key, record.value, record.headers) == (b"og_1", None, ())


def test_a_record_without_key_and_value(kafka_topic: NewTopic) -> None:
    with opened(kafka_topic(1)) as log, subscribed(log) as subscription:
        log.append([Entry(None, None), Entry(None, None, (("h", b"1"),)), Entry(b"", b"")])
        (partition,) = assigned(subscription, 1)
        subscription.seek(Position(partition, 0))
        found = [(r.key, r.value, r.headers) for r in read(subscription, 3)]
        assert found == [(None, None, ()), (None, None, (("h", b"1"),)), (b"", b"", ())]


def test_a_dropped_position_is_a_gap(kafka: str, kafka_topic: NewTopic) -> None:
    with opened(kafka_topic(1)) as log, subscribed(log) as subscription:
        log.append(entries(10))
        (partition,) = assigned(subscription, 1)
        with closing(KafkaAdminClient(bootstrap_servers=kafka)) as admin:
            admin.delete_records({TopicPartition(*partition): 5})
        assert log.first() == {partition: 5}
        for offset in (4, 11):
            subscription.seek(Position(partition, offset))
            with pytest.raises(LogGap, match=f"^{log.topic}/0@{offset} is not in the log"):
                read(subscription, 1)
        subscription.seek(Position(partition, 5))
        assert offsets(read(subscription, 5)) == [5, 6, 7, 8, 9]


def test_a_missing_topic_is_an_error(kafka: str) -> None:
    with opened(f"kafka://{kafka}/there-is-none") as log:
        for ask in (log.partitions, log.first, log.end, log.losses, lambda: log.append(entries(1))):
            with pytest.raises(LogMissing, match=f"^there is no topic there-is-none at kafka://{kafka}/there-is-none"):
                ask()


def test_create_sets_unlimited_retention(kafka: str) -> None:
    name = f"created-{free_port()}-{time.time_ns()}"
    with opened(f"kafka://{kafka}/{name}?partitions=5") as log:
        assert log.create() is True
        assert log.create() is False
        assert len(log.partitions()) == 5
        assert log.losses() == {}
        largest = Entry(b"og_1", random.Random(1).randbytes(1024 * 1024))
        # The largest record that a line may hold.
        headers = (("h", random.Random(2).randbytes(RECORD_BYTES_MAX - 1024 * 1024 - 1 - 10)),)
        assert log.append([largest, Entry(None, largest.value, headers)])


@pytest.mark.parametrize(
    ("settings", "losses"),
    [
        ({"cleanup.policy": "compact"}, {Loss.COMPACTION: ["cleanup.policy=compact", "cleanup.policy=delete"]}),
        ({"retention.ms": "604800000"}, {Loss.RETENTION: ["retention.ms=604800000", "retention.ms=-1"]}),
        ({"retention.ms": "-1", "retention.bytes": "1"}, {Loss.RETENTION: ["retention.bytes=1", "retention.bytes=-1"]}),
        ({}, {Loss.RETENTION: ["retention.ms=604800000"]}),
        (
            {"cleanup.policy": "compact,delete", "retention.bytes": "5000"},
            {
                Loss.COMPACTION: ["cleanup.policy=compact,delete"],
                Loss.RETENTION: ["retention.ms=604800000 and retention.bytes=5000", "retention.ms=-1 and retention.b"],
            },
        ),
    ],
    ids=str,
)
def test_losses(kafka: str, settings: dict[str, str], losses: dict[Loss, list[str]]) -> None:
    name = f"losses-{time.time_ns()}"
    with closing(KafkaAdminClient(bootstrap_servers=kafka)) as admin:
        admin.create_topics({name: {"num_partitions": 1, "configs": settings}}, wait_for_metadata=True)
    with opened(f"kafka://{kafka}/{name}") as log:
        found = log.losses()
        assert found.keys() == losses.keys()
        for loss, words in losses.items():
            assert all(word in found[loss] for word in [f"topic {name} has ", "expected: ", *words])


def took_s(call: Callable[[], object]) -> float:
    started_s = time.monotonic()
    call()
    return time.monotonic() - started_s


def test_without_a_broker_every_call_fails_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_client, "CONNECT_MS", 1_500)
    port = free_port()
    log = opened(f"kafka://127.0.0.1:{port}/orders")
    subscription = log.subscribe()
    for ask in (log.partitions, lambda: log.append(entries(1)), lambda: subscription.poll(0.1, 1)):
        started_s = time.monotonic()
        with pytest.raises(LogUnavailable, match=f"^kafka://127.0.0.1:{port}/orders: no broker answers \\(.*REFUSED"):
            ask()
        assert time.monotonic() - started_s < 4
    assert took_s(subscription.close) + took_s(log.close) < 2


def test_an_unreadable_tls_file_is_named() -> None:
    says = r"cannot use /nowhere/ca\.pem: .*No such file"
    with opened("kafka://127.0.0.1:1/orders?tls_ca=/nowhere/ca.pem") as log, pytest.raises(BadLogUrl, match=says):
        log.partitions()


@pytest.mark.thorough
def test_a_broker_restarts(kafka_server_home: KafkaHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_log, "DELIVERY_MS", 6_000)
    with (
        KafkaServer(kafka_server_home, SOON_BACK) as server,
        opened(f"kafka://{server.bootstrap}/orders?partitions=1") as log,
    ):
        log.create()
        log.append(entries(10))
        with subscribed(log) as subscription:
            (partition,) = assigned(subscription, 1)
            subscription.seek(Position(partition, 0))
            assert offsets(read(subscription, 10)) == list(range(10))
            server.kill()
            started_s = time.monotonic()
            with pytest.raises(LogUnavailable):
                log.end()
            with pytest.raises(LogUnavailable):
                log.append(entries(1))
            with pytest.raises(LogUnavailable, match="no broker has been reachable for"):
                read(subscription, 1)
            assert time.monotonic() - started_s < 30
            server.restart()
            # Retried like the projector does. The first append may have reached the broker.
            wait_until(lambda: answered(lambda: log.append(entries(5))), PATIENCE_S, "append")
            end = log.end()[partition]
            again: list[Record] = []

            def rest() -> bool:
                polled = subscription.poll(0.1, 500)
                for partition in polled.assigned:
                    again.clear()
                    subscription.seek(Position(partition, 10))
                again.extend(polled.records)
                return bool(again) and again[-1].offset == end - 1

            wait_until(lambda: answered(rest) and bool(again) and again[-1].offset == end - 1, PATIENCE_S, "the rest")
            assert offsets(again) == list(range(10, end))
            server.kill()
            assert took_s(subscription.close) < 2
        assert took_s(log.close) < 2


def answered(call: Callable[[], object]) -> bool:
    try:
        call()
    except LogUnavailable:
        return False
    return True


@pytest.fixture(scope="module")
def strict(kafka_server_home: KafkaHome) -> Iterator[str]:
    """`host:port` of a broker that requires PLAIN credentials, and creates topics automatically."""
    settings = {
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,INNER:PLAINTEXT,OUTER:SASL_PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.outer.plain.sasl.jaas.config": (
            'org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="secret";'
        ),
        "auto.create.topics.enable": "true",
    }
    with KafkaServer(kafka_server_home, settings, login="alice:secret") as server:
        yield server.bootstrap


@pytest.mark.parametrize(
    ("login", "says"),
    [
        ("alice:wrong@{}/orders?sasl=PLAIN", "the broker refuses the user 'alice' with sasl=PLAIN: "),
        ("alice:secret@{}/orders", "the broker refuses the user 'alice' with sasl=SCRAM-SHA-512: "),
    ],
)
def test_refused_credentials_are_an_error(strict: str, login: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_client, "CONNECT_MS", 1_500)
    with opened("kafka://" + login.format(strict)) as log, pytest.raises(LogUnavailable) as caught:
        log.partitions()
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)


def test_no_topic_is_created_automatically(strict: str) -> None:
    with opened(f"kafka://alice:secret@{strict}/typo?sasl=PLAIN") as log:
        with subscribed(log) as subscription:
            for _ in range(20):
                assert subscription.poll(0.1, 1) == Polled([], [], [])
        with pytest.raises(LogMissing):
            log.append(entries(1))
        with pytest.raises(LogMissing):
            log.partitions()
