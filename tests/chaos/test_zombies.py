"""A process is stopped before it sends a commit, and continues after its session has expired and its partitions were
reassigned.
"""

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
from tests.thorough import thorough

# `make chaos` runs 50.
ZOMBIES = [int(os.environ["CHAOS_ZOMBIES"])] if "CHAOS_ZOMBIES" in os.environ else [1, *thorough(3)]
# A given broker may not allow sessions below six seconds.
SESSION_MS = 6000 if os.environ.get("KAFKA_BOOTSTRAP_SERVERS") else 2500


@pytest.mark.timeout(120 + 30 * int(os.environ.get("CHAOS_ZOMBIES", 3)))
@pytest.mark.parametrize("zombies", ZOMBIES)
def test_a_zombie_writes_nothing(
    kafka_topic: Callable[[int], str], tmp_path: Path, one_redis_url: str, zombies: int
) -> None:
    chance = random.Random(4)
    refused = 0
    with (
        Stage(tmp_path, one_redis_url, kafka_topic(2)) as stage,
        stage.start("run", session_ms=SESSION_MS, metadata_ms=1000) as other,
    ):
        stage.publish(200)
        stage.wait()
        for number in range(zombies):
            log = tmp_path / f"outcomes-{number}"
            armed = {"fail_at": "send:before", "fail_how": "stop", "fail_time": chance.randint(1, 4)}
            with stage.start("run", session_ms=SESSION_MS, batch_records=50, fail_log=log, **armed) as zombie:
                wait_until(lambda: "reading" in zombie.text(), 30, "a partition")
                stage.publish(1000)
                wait_until(lambda: is_stopped(zombie.process.pid), 30, "SIGSTOP")
                stage.publish(500)
                stage.wait()
                before = outcomes(log, zombie)
                zombie.process.send_signal(signal.SIGCONT)
                wait_until(lambda: "rejoining the group" in zombie.text(), 30, "it notices")
                woken = outcomes(log, zombie)[len(before) :]
                assert woken[0] == "AHEAD"
                assert "STORED" not in woken, "the other process had written everything"
                refused += woken.count("AHEAD")
                stage.check_now()
                # It is a member again, or the other one has all partitions: nothing is stuck.
                stage.publish(200)
                stage.wait()
                stage.check_now()
                assert zombie.stop(timeout_s=20) == 0
        stage.check()
        assert other.process.poll() is None
        assert other.stop() == 0
    assert refused >= zombies
    survived("a process asleep beyond its session", zombies, stage.ledger.records)


def outcomes(log: Path, process: Process) -> list[str]:
    """Returns the outcomes of its commits, in order."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [line.split()[1] for line in lines if line.split()[0] == str(process.process.pid)]


def is_stopped(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "T"
