"""Redis loses writes, and the log loses events, while the projector runs."""

import os
import random
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import redis
from kafka import KafkaAdminClient, TopicPartition

from events.logs.open import open_log
from tests.chaos.stage import Stage
from tests.chaos.survived import survived
from tests.chaos.test_zombies import is_stopped
from tests.processes import Process
from tests.servers.aof import written_file
from tests.servers.process import wait_until
from tests.servers.redis import RedisHome, RedisServer

# `make chaos` runs 100.
LOSSES = int(os.environ.get("CHAOS_LOSSES", 6))
KINDS = ("FLUSHALL", "an old RDB", "a cut AOF")
STOP_S = 20.0


@pytest.mark.timeout(120 + 5 * LOSSES)
@pytest.mark.parametrize("kind", KINDS)
def test_lost_writes_are_detected_and_applied_again(cluster_server_home: RedisHome, tmp_path: Path, kind: str) -> None:
    """On a server whose files are accessible, as for a cluster."""
    chance = random.Random(kind)
    persistence = "no" if kind == "an old RDB" else "yes"
    losses = -(-LOSSES // len(KINDS))
    with (
        RedisServer(cluster_server_home, "--appendonly", persistence, "--appendfsync", "everysec") as server,
        Stage(tmp_path, server.url) as stage,
        stage.start("run") as run,
    ):
        for _ in range(losses):
            stage.publish(300)
            stage.wait()
            lose = losing(server, stage.client, kind)
            stage.publish(50)
            stage.wait()
            # A commit is sent after the previous one was answered: records published before are known to be stored.
            before = stage.applied()
            stage.publish(600)
            target = before + chance.randint(1, 500)
            wait_until(lambda: stage.applied() >= target, 30, "some more")  # noqa: B023
            lose()
            stage.publish(50)
            stage.wait()
            stage.check_now()
        assert run.text().count("lost writes") >= losses, "not every loss was detected"
        stage.check()
        assert run.process.poll() is None, "it must recover without a restart"
        assert run.stop() == 0
    survived(f"Redis loses writes: {kind}", losses, stage.ledger.records)


def losing(server: RedisServer, client: "redis.Redis", kind: str) -> Callable[[], object]:
    """Returns a function that loses everything written after this call, or everything."""
    if kind == "FLUSHALL":
        return client.flushall
    if kind == "an old RDB":
        client.save()

        def cut() -> None:
            """The saved file is already old."""
    else:
        file = written_file(server.directory)
        size = file.stat().st_size

        def cut() -> None:
            """Truncates within a command, as a power failure does."""
            os.truncate(file, size + 20)

    def restart() -> None:
        server.kill()
        cut()
        server.restart()

    return restart


@contextmanager
def applied_all(folder: Path, redis_url: str, log_url: str | None = None) -> Iterator[tuple[Stage, Process]]:
    """Yields a stage and a running projector that has applied 200 records."""
    with Stage(folder, redis_url, log_url) as stage, stage.start("run") as run:
        stage.publish(200)
        stage.wait()
        yield stage, run


def stops_with(run: Process, *reasons: str) -> None:
    assert run.wait_for_end(STOP_S) == 2, run.text()
    assert all(reason in run.text() for reason in reasons), run.text()
    assert "Traceback" not in run.text()


def test_a_loss_is_detected_while_nothing_is_published(tmp_path: Path, one_redis_url: str) -> None:
    with applied_all(tmp_path, one_redis_url) as (stage, run):
        stage.client.flushall()
        wait_until(lambda: "Redis has lost writes" in run.text(), 30, "a line in the log")
        stage.check()
        assert run.stop() == 0


def test_a_gap_in_the_log_stops_the_projector(tmp_path: Path, one_redis_url: str) -> None:
    with applied_all(tmp_path, one_redis_url) as (stage, run):
        with closing(sqlite3.connect(tmp_path / "orders.db")) as log, log:
            log.execute('DELETE FROM log WHERE "offset" < 100')
        stage.client.flushall()
        stops_with(run, "retention_gap", "orders/0 is needed from 0 on, but the log begins at 100")
        assert stage.applied() == 0
        with stage.start("run", "--accept-loss", "retention") as run:
            wait_until(lambda: stage.applied() == 200, 30, "what is left")
            assert run.stop() == 0


def test_a_gap_in_a_topic_stops_the_projector(
    kafka: str, kafka_topic: Callable[[int], str], tmp_path: Path, one_redis_url: str
) -> None:
    url = kafka_topic(1)
    with applied_all(tmp_path, one_redis_url, url) as (stage, run):
        with closing(KafkaAdminClient(bootstrap_servers=kafka)) as admin:
            admin.delete_records({TopicPartition(stage.log.topic, 0): 100})
        stage.client.flushall()
        stops_with(run, "retention_gap", "is needed from 0 on, but the log begins at 100")
        assert stage.applied() == 0


def test_a_truncated_log_stops_the_projector(tmp_path: Path, one_redis_url: str) -> None:
    with applied_all(tmp_path, one_redis_url) as (stage, run):
        with closing(sqlite3.connect(tmp_path / "orders.db")) as log, log:
            log.execute('DELETE FROM log WHERE "offset" >= 150')
        stops_with(run, "Redis has applied orders/0 up to 200, but the log ends at 150")
        stage.check_now()


def test_a_log_created_again_stops_the_projector(tmp_path: Path, one_redis_url: str) -> None:
    with applied_all(tmp_path, one_redis_url) as (stage, run):
        with Stage(tmp_path / "other", one_redis_url, f"sqlite://{tmp_path / 'new.db'}", seed=2) as other:
            other.publish(500)
        for suffix in ("-wal", "-shm"):
            (tmp_path / f"orders.db{suffix}").unlink(missing_ok=True)
        (tmp_path / "new.db").replace(tmp_path / "orders.db")
        stops_with(run, "was deleted and created again")
        stage.check_now()
        assert stage.applied() == 200


def test_a_topic_created_again_stops_the_projector_at_its_start(
    kafka: str, kafka_topic: Callable[[int], str], tmp_path: Path, one_redis_url: str
) -> None:
    url = kafka_topic(1)
    with applied_all(tmp_path, one_redis_url, url) as (stage, run):
        assert run.stop() == 0
        create_again(kafka, stage.log.topic, url)
        with Stage(tmp_path / "other", one_redis_url, url, seed=2) as other:
            other.publish(500)
        with stage.start("run") as again:
            stops_with(again, "deleted and created again")
        stage.check_now()
        assert stage.applied() == 200


def test_a_topic_created_again_meanwhile_stops_a_projector_that_was_busy(
    kafka: str, kafka_topic: Callable[[int], str], tmp_path: Path, one_redis_url: str
) -> None:
    """It sees no error, since at its position there is a record again when it polls."""
    url = kafka_topic(1)
    with applied_all(tmp_path, one_redis_url, url) as (stage, run):
        run.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: is_stopped(run.process.pid), 10, "SIGSTOP")
        create_again(kafka, stage.log.topic, url)
        with Stage(tmp_path / "other", one_redis_url, url, seed=2) as other:
            other.publish(500)
        run.process.send_signal(signal.SIGCONT)
        stops_with(run, "deleted and created again")


def create_again(kafka: str, topic: str, url: str) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=kafka)) as admin:
        admin.delete_topics([topic])
    with open_log(url, {}) as log:
        wait_until(log.create, 20, "the new topic")
