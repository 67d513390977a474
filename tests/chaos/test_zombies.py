"""A process that sleeps beyond its session with a commit in its hand, and wakes when another one has its partitions."""

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.stage import Stage
from tests.chaos.survived import survived
from tests.processes import Process
from tests.servers.process import wait_until

# `make chaos` has 50.
ZOMBIES = int(os.environ.get("CHAOS_ZOMBIES", 3))
# A broker that is not ours may not let us have less than six seconds.
SESSION_MS = 6000 if os.environ.get("KAFKA_BOOTSTRAP_SERVERS") else 2500


@pytest.mark.timeout(120 + 30 * ZOMBIES)
def test_a_zombie_writes_nothing(kafka_topic: Callable[[int], str], tmp_path: Path, one_redis_url: str) -> None:
    chance = random.Random(4)
    refused = 0
    with (
        Stage(tmp_path, one_redis_url, kafka_topic(2)) as stage,
        stage.start("run", session_ms=SESSION_MS, metadata_ms=1000) as other,
    ):
        stage.publish(200)
        stage.wait()
        for number in range(ZOMBIES):
            told = tmp_path / f"outcomes-{number}"
            armed = {"fail_at": "send:before", "fail_how": "stop", "fail_time": chance.randint(1, 4)}
            with stage.start("run", session_ms=SESSION_MS, batch_records=50, fail_log=told, **armed) as zombie:
                wait_until(lambda: "reading" in zombie.text(), 30, "a partition")
                stage.publish(1000)
                wait_until(lambda: is_asleep(zombie), 30, "it sleeps")
                stage.publish(500)
                stage.wait()
                before = outcomes(told, zombie)
                zombie.process.send_signal(signal.SIGCONT)
                wait_until(lambda: "asking anew which are ours" in zombie.text(), 30, "it notices")
                woken = outcomes(told, zombie)[len(before) :]
                assert woken[0] == "AHEAD"
                assert "STORED" not in woken, "there was nothing left for it to write"
                refused += woken.count("AHEAD")
                stage.check_now()
                # It is a member again, or the other one has it all: nothing stands still.
                stage.publish(200)
                stage.wait()
                stage.check_now()
                assert zombie.stop(timeout_s=20) == 0
        stage.check()
        assert other.process.poll() is None
        assert other.stop() == 0
    assert refused >= ZOMBIES
    survived("a process asleep beyond its session", ZOMBIES, stage.ledger.records)


def outcomes(told: Path, process: Process) -> list[str]:
    """What its commits were answered, in order."""
    lines = told.read_text().splitlines() if told.exists() else []
    return [line.split()[1] for line in lines if line.split()[0] == str(process.process.pid)]


def is_asleep(process: Process) -> bool:
    state = Path(f"/proc/{process.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "T"
