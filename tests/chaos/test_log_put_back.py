"""A log is restored to an older state, and then grows past Redis' positions, so that all positions look right."""

import json
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from events.logs.log import Entry
from projector.readmodel.schema.keys import VERSION
from tests.chaos.stage import Stage
from tests.chaos.survived import survived
from tests.chaos.test_lost_writes import stops_with
from tests.chaos.test_zombies import is_stopped
from tests.processes import Api, Process, projector
from tests.servers.kafka import KafkaHome, KafkaServer, new_topic
from tests.servers.process import wait_until
from tests.thorough import thorough

REMEDY = "projector replay --accept-loss recreated"
KEPT, LOST, GROWN = 1000, 500, 600
# Kafka's partitions share them, and each partition must grow past its former end.
GROWN_ON_KAFKA = 1500


class RestoredLog:
    """A stage and its log, with a backup after the first KEPT records.

    `restore` drops LOST records and publishes `grown` others. The ledger then holds the restored log.
    """

    def __init__(self, stage: Stage, backup: Callable[[], None], restore: Callable[[], None], grown: int) -> None:
        self.stage = stage
        stage.publish(KEPT)
        kept = {partition: len(lines) for partition, lines in stage.ledger.lines.items()}
        backup()
        stage.publish(LOST)
        self.applied = dict(stage.ledger.ends)
        self._kept, self._restore, self._grown = kept, restore, grown

    def restore(self) -> None:
        ledger = self.stage.ledger
        self.stage.log.close()
        self._restore()
        ledger.lines = {partition: ledger.lines[partition][:kept] for partition, kept in self._kept.items()}
        self.stage.reopen()
        self.stage.publish(self._grown)
        assert all(ledger.ends[partition] > end for partition, end in self.applied.items()), (
            "the log has not grown past its former end"
        )


def copy(source: Path, target: Path) -> None:
    """Copies a database like `.backup` and `.restore` of the SQLite shell."""
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


@contextmanager
def in_sqlite(folder: Path, redis_url: str, way: str = "restore") -> Iterator[RestoredLog]:
    def restore() -> None:
        if way == "restore":
            copy(folder / "backup.db", folder / "orders.db")
        else:
            shutil.copyfile(folder / "backup.db", folder / "orders.db")
            for suffix in ("-wal", "-shm"):
                (folder / f"orders.db{suffix}").unlink(missing_ok=True)

    with Stage(folder, redis_url) as stage:
        yield RestoredLog(stage, lambda: copy(folder / "orders.db", folder / "backup.db"), restore, GROWN)


@contextmanager
def in_kafka(home: KafkaHome, folder: Path, redis_url: str) -> Iterator[RestoredLog]:
    with KafkaServer(home) as broker:

        def while_stopped(work: Callable[[], None]) -> Callable[[], None]:
            def done() -> None:
                broker.kill()
                work()
                broker.restart()

            return done

        with Stage(folder, redis_url, new_topic(broker.bootstrap, 2)) as stage:
            backup, restore = while_stopped(broker.backup), while_stopped(broker.restore)
            yield RestoredLog(stage, backup, restore, GROWN_ON_KAFKA)


@contextmanager
def in_any(kind: str, request: pytest.FixtureRequest, folder: Path, redis_url: str) -> Iterator[RestoredLog]:
    if kind == "kafka":
        with in_kafka(request.getfixturevalue("kafka_server_home"), folder, redis_url) as log:
            yield log
    else:
        with in_sqlite(folder, redis_url, kind) as log:
            yield log


def read_model(stage: Stage) -> tuple[object, ...]:
    model = stage.model()
    return model.documents, model.positions, model.tally


def is_detected_and_repaired(log: RestoredLog, run: Process) -> None:
    stage, before = log.stage, read_model(log.stage)
    stops_with(run, "log_diverged", "last record known to be common", REMEDY)
    assert read_model(stage) == before, "events of the other log were applied"
    assert stage.model().positions == log.applied
    planned = projector("replay", "plan", "--json", cwd=stage.folder, settings=stage.settings)
    (reason,) = [one["reason"] for one in json.loads(planned.stdout)["refusals"] if "recreated" in one["remedy"]]
    assert "are no longer in the log" in reason
    refused = projector("verify", cwd=stage.folder, settings=stage.settings)
    assert (refused.returncode, "log_diverged" in refused.stderr) == (2, True), refused.stderr
    with Api(stage.folder, stage.settings["REDIS_URL"]) as api:
        assert api.client.get("/health/ready").status_code == 503
        api.get({})
        command = (*REMEDY.split()[1:], "--park", "--yes")
        rebuilt = projector(*command, cwd=stage.folder, settings=stage.settings)
        assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr
        back = projector("replay", "rollback", cwd=stage.folder, settings=stage.settings)
        assert (back.returncode, "log_diverged" in back.stderr) == (2, True), back.stderr
        with stage.start("run") as again:
            stage.publish(100)
            stage.check()
            wait_until(lambda: api.client.get("/health/ready").status_code == 200, 20, "ready")
            assert again.stop() == 0


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["restore", *thorough("copy", "kafka")])
def test_while_the_projector_is_stopped(
    request: pytest.FixtureRequest, kind: str, tmp_path: Path, one_redis_url: str
) -> None:
    with in_any(kind, request, tmp_path, one_redis_url) as log:
        with log.stage.start("run") as run:
            log.stage.wait()
            assert run.stop() == 0
        log.restore()
        with log.stage.start("run") as run:
            is_detected_and_repaired(log, run)
        survived(f"log put back while the projector is stopped: {kind}", 1, log.stage.ledger.records)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["restore", *thorough("copy", "kafka")])
def test_while_the_projector_runs(
    request: pytest.FixtureRequest, kind: str, tmp_path: Path, one_redis_url: str
) -> None:
    """The projector is stopped meanwhile: otherwise it could see the log while it is shorter."""
    with (
        in_any(kind, request, tmp_path, one_redis_url) as log,
        log.stage.start("run") as run,
    ):
        log.stage.wait()
        run.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: is_stopped(run.process.pid), 10, "SIGSTOP")
        log.restore()
        run.process.send_signal(signal.SIGCONT)
        is_detected_and_repaired(log, run)
        survived(f"log put back while the projector runs: {kind}", 1, log.stage.ledger.records)


def test_the_mark_is_removed_once_the_right_log_is_back(tmp_path: Path, one_redis_url: str) -> None:
    with in_sqlite(tmp_path, one_redis_url) as log:
        stage = log.stage
        with stage.start("run") as run:
            stage.wait()
            assert run.stop() == 0
        right = dict(stage.ledger.lines)
        copy(tmp_path / "orders.db", tmp_path / "right.db")
        log.restore()
        with stage.start("run") as run:
            stops_with(run, "log_diverged")
        copy(tmp_path / "right.db", tmp_path / "orders.db")
        stage.ledger.lines = right
        with Api(tmp_path, one_redis_url) as api, stage.start("run") as run:
            wait_until(lambda: api.client.get("/health/ready").status_code == 200, 20, "ready again")
            stage.publish(100)
            stage.check()
            assert run.stop() == 0


@pytest.mark.timeout(120)
def test_a_shard_that_is_ahead_counts(tmp_path: Path, one_redis_url: str) -> None:
    """The positions of other shards are where both logs are the same."""
    with in_sqlite(tmp_path, one_redis_url) as log:
        stage = log.stage
        stage.client.set("og:live", json.dumps({"number": 0, "shards": 2, "version": VERSION, "nonce": ""}))
        with stage.start("run") as run:
            stage.wait()
            assert run.stop() == 0
        # As when one master of a cluster has lost its writes.
        for name in stage.client.scan_iter(match="og:{0.0}:*"):
            if not name.endswith(b":meta"):
                stage.client.delete(name)
        log.restore()
        with stage.start("run") as run:
            stops_with(run, "log_diverged", f"applied orders/0 up to {KEPT + LOST}")


def test_a_build_from_the_other_log_is_not_resumed(tmp_path: Path, one_redis_url: str) -> None:
    with in_sqlite(tmp_path, one_redis_url) as log:
        stage = log.stage
        built = projector("replay", "build", "--park", "--yes", cwd=tmp_path, settings=stage.settings)
        assert built.returncode == 0, built.stderr
        log.restore()
        for step in (("build", "--park", "--yes"), ("verify", "--park")):
            refused = projector("replay", *step, cwd=tmp_path, settings=stage.settings)
            assert refused.returncode == 2
            assert "log_diverged" in refused.stderr
            assert "projector replay drop 0" in refused.stderr


def test_nothing_is_applied_of_a_restored_log_that_is_partly_the_same(tmp_path: Path, one_redis_url: str) -> None:
    """The file is restored to Redis' position, while the projector has already read past it."""
    with Stage(tmp_path, one_redis_url) as stage:
        stage.publish(KEPT)
        with stage.start("run") as run:
            stage.wait()
            run.process.send_signal(signal.SIGSTOP)
            wait_until(lambda: is_stopped(run.process.pid), 10, "SIGSTOP")
            with closing(sqlite3.connect(tmp_path / "orders.db")) as file, file:
                # The last record is another one: a restored log that has grown by one.
                file.execute('UPDATE log SET value = ? WHERE "offset" = ?', (b"{}", KEPT - 1))
            stage.log.append([Entry(b"k", b"{}")])
            run.process.send_signal(signal.SIGCONT)
            stops_with(run, "log_diverged", f"at orders/0@{KEPT - 1} than")
            assert stage.applied() == KEPT
