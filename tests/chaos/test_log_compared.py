"""Logs that look different but are the right ones: the projector continues, and loses nothing."""

import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from events.logs.log import Entry, Partition
from tests.chaos.stage import Stage
from tests.integration.watched import Projector
from tests.readmodel import PREFIX
from tests.servers.kafka import KafkaHome, KafkaServer, new_topic
from tests.servers.process import wait_until
from tests.thorough import thorough

LAST = f"{PREFIX}last"


def watched(stage: Stage, *options: str) -> Projector:
    return Projector(stage.folder, *options, **stage.settings)


def apply_all(stage: Stage) -> None:
    """Applies everything, and stops the projector."""
    with stage.start("run") as run:
        stage.wait()
        assert run.stop() == 0


def continues(stage: Stage, *options: str, **found: float) -> None:
    """`found`: the expected results of its first comparison, by number of partitions."""
    with watched(stage, *options) as run:
        wait_until(lambda: sum(checks(run).values()) >= sum(found.values()), 30, "a comparison")
        assert checks(run) == {"same": 0, "unknown": 0, "diverged": 0, **found}
        stage.publish(100)
        stage.wait()
        stage.check_now()
        assert run.stop() == 0
    # The second projector finds anchors again.
    with watched(stage, *options) as run:
        wait_until(lambda: sum(checks(run).values()) >= len(stage.ledger.lines), 30, "a comparison")
        assert checks(run) == {"same": len(stage.ledger.lines), "unknown": 0, "diverged": 0}
        assert run.stop() == 0


def checks(run: Projector) -> dict[str, float]:
    return {name: run.metric("log_checks_total", found=name) for name in ("same", "unknown", "diverged")}


def at_last(stage: Stage) -> bytes:
    (name,) = stage.ledger.lines
    return cast(bytes, stage.client.hget(LAST, name))


def test_a_position_moved_by_an_older_release(tmp_path: Path, one_redis_url: str) -> None:
    with Stage(tmp_path, one_redis_url) as stage:
        stage.publish(200)
        apply_all(stage)
        before = at_last(stage)
        stage.publish(50)
        apply_all(stage)
        # The older release does not write this key.
        stage.client.hset(LAST, "orders/0", before.decode())
        continues(stage, unknown=1)


@pytest.mark.parametrize("stored", [b"{}", *thorough(None, b"[250,[]]")])
def test_anchors_that_this_release_cannot_read(tmp_path: Path, one_redis_url: str, stored: bytes | None) -> None:
    with Stage(tmp_path, one_redis_url) as stage:
        stage.publish(250)
        apply_all(stage)
        stage.client.delete(LAST)
        if stored:
            stage.client.hset(LAST, "orders/0", stored.decode())
        continues(stage, unknown=1)


def test_retention_dropped_the_last_record(
    kafka: str, kafka_topic: Callable[[int], str], tmp_path: Path, one_redis_url: str
) -> None:
    with Stage(tmp_path, one_redis_url, kafka_topic(1)) as stage:
        stage.publish(200)
        apply_all(stage)
        with closing(KafkaAdminClient(bootstrap_servers=kafka)) as admin:
            admin.delete_records({TopicPartition(stage.log.topic, 0): 200})
        continues(stage, unknown=1)


def test_the_last_offsets_are_transaction_markers(
    kafka: str, kafka_topic: Callable[[int], str], tmp_path: Path, one_redis_url: str
) -> None:
    """The last offsets are markers and an aborted record."""
    with Stage(tmp_path, one_redis_url, kafka_topic(1)) as stage:
        stage.publish(200)
        producer: Any = KafkaProducer(bootstrap_servers=kafka, transactional_id=uuid.uuid4().hex)
        with closing(producer):
            producer.init_transactions()
            for end in (producer.commit_transaction, producer.abort_transaction):
                producer.begin_transaction()
                producer.send(stage.log.topic, b"{", partition=0)
                producer.flush()
                end()
        # A record and its marker, then an aborted record and its marker.
        name = f"{stage.log.topic}/0"
        stage.ledger.note(name, 200, None)
        apply_all(stage)
        continues(stage, same=1)


@pytest.mark.timeout(180)
@pytest.mark.thorough
def test_compaction_dropped_the_last_record(kafka_server_home: KafkaHome, tmp_path: Path, one_redis_url: str) -> None:
    eager = {"log.cleaner.backoff.ms": "100", "log.roll.ms": "100", "log.cleaner.min.cleanable.ratio": "0.001"}
    with (
        KafkaServer(kafka_server_home, eager) as broker,
        Stage(tmp_path, one_redis_url, new_topic(broker.bootstrap, 1)) as stage,
    ):
        stage.publish(200)
        apply_all(stage)
        last = stage.ledger.lines[f"{stage.log.topic}/0"][-1].offset
        with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
            policy = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.001"}
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, stage.log.topic, policy)])
        partition = Partition(stage.log.topic, 0)

        def is_gone() -> bool:
            # The same keys again, so that compaction drops the earlier records; each call may begin a segment.
            stage.log.append(again)
            return stage.log.at({partition: last})[partition] is None

        records = stage.log.at({partition: last})
        assert records[partition] is not None
        again = entries_of(stage, partition, last + 1)
        wait_until(is_gone, 120, "compaction")
        with watched(stage, "--accept-loss", "compaction") as run:
            wait_until(lambda: sum(checks(run).values()) >= 1, 30, "a comparison")
            wait_until(run.is_ready, 30, "ready")
            assert checks(run)["diverged"] == 0
            assert run.stop() == 0


def entries_of(stage: Stage, partition: Partition, end: int) -> list[Entry]:
    with closing(stage.log.read({partition: 0})) as reader:
        records: list[Any] = []
        while reader.positions[partition] < end:
            records += reader.poll(1.0, 500, {partition: end})
    return [Entry(record.key, record.value, record.headers) for record in records if record.key]


@pytest.mark.thorough
def test_added_partitions_and_a_new_leader(kafka_server_home: KafkaHome, tmp_path: Path, one_redis_url: str) -> None:
    with (
        KafkaServer(kafka_server_home) as broker,
        Stage(tmp_path, one_redis_url, new_topic(broker.bootstrap, 1), exact=False) as stage,
        watched(stage) as run,
    ):
        stage.publish(200)
        stage.wait()
        epochs = {leader_epoch(stage)}
        for _ in range(2):
            broker.kill()
            broker.restart()
            stage.reopen()
            stage.publish(100)
            stage.wait()
            epochs.add(leader_epoch(stage))
        with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
            admin.create_partitions({stage.log.topic: 2})
        wait_until(lambda: len(stage.log.partitions()) == 2, 20, "the new partition")
        stage.reopen()
        stage.publish(100)
        stage.wait(60)
        assert len(epochs) == 3, "there was no new leader"
        # At least one comparison per reconnection.
        assert checks(run)["same"] >= 2
        assert checks(run)["unknown"] == checks(run)["diverged"] == 0
        assert run.stop() == 0
        continues(stage, same=2)


def leader_epoch(stage: Stage) -> int | None:
    name, lines = next(iter(stage.ledger.lines.items()))
    partition = Partition(name.rpartition("/")[0], 0)
    record = stage.log.at({partition: lines[-1].offset})[partition]
    assert record is not None
    return record.epoch
