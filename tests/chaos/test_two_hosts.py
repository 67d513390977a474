"""Two replays at a time, from two simulated hosts: in separate namespaces neither sees the other's process."""

import os
import random
import signal
from pathlib import Path

import pytest

from tests.chaos.stage import ARMED, Stage
from tests.chaos.survived import survived
from tests.chaos.test_zombies import is_stopped
from tests.processes import Process
from tests.servers.process import wait_until
from tests.servers.redis import RedisHome, RedisServer

# `make chaos` runs 20.
ROUNDS = int(os.environ.get("CHAOS_HOSTS_ROUNDS", 2))
EVENTS = 2_000
# Where the worker of the first replay stops, while its parent keeps the lease.
STOPS = [f"{point}:{when}" for point in ("plan", "part", "finish") for when in ("before", "after")]
# The third replay waits until the lease expires, and builds all: a log that grows with the rounds.
REPLAY_S = 60.0


class Host(Process):
    """`projector replay` on a host of that name."""

    def __init__(self, name: str, stage: Stage, **armed: str) -> None:
        enter = f'hostname {name}; exec "$0" "$@"'
        self.prefix = ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", enter]
        settings = stage.settings | ({"PYTHONPATH": ARMED} | armed if armed else {})
        super().__init__("replay", "--yes", "--park", cwd=stage.folder, **settings)


@pytest.mark.chaos
@pytest.mark.timeout(120 + (60 + REPLAY_S) * ROUNDS)
def test_one_replay_at_a_time(cluster_server_home: RedisHome, tmp_path: Path) -> None:
    """The second replay reports the holder of the lease. After the first is killed, another one takes over."""
    chance = random.Random(8)
    busy = 0
    with (
        RedisServer(cluster_server_home) as server,
        Stage(tmp_path, server.url, exact=False) as stage,
        stage.start("run") as run,
    ):
        for _ in range(ROUNDS):
            stage.publish(EVENTS)
            stage.wait()
            stops = {"FAIL_AT": chance.choice(STOPS), "FAIL_HOW": "stop"}
            with Host("host-a", stage, **stops) as first:
                wait_until(lambda: has_stopped(first.process.pid), 30, "a worker that stops")
                with Host("host-b", stage) as second:
                    assert second.wait_for_end(30) == 2, second.text()
                    assert "another replay is running: projector replay, process " in second.text()
                    assert "on host-a" in second.text()
                    busy += 1
                first.process.send_signal(signal.SIGKILL)
                first.process.wait()
            with Host("host-b", stage) as third:
                stage.publish(200)
                assert third.wait_for_end(REPLAY_S) == 0, third.text()
            stage.wait()
            stage.check_now()
        stage.check()
        assert run.process.poll() is None, run.text()
        assert run.stop() == 0
    assert busy == ROUNDS
    survived("two replays from two hosts", ROUNDS, stage.ledger.records)


def has_stopped(pid: int) -> bool:
    """Returns whether a process that it has started, or one of theirs, is stopped."""
    children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return any(is_stopped(child) or has_stopped(child) for child in children)
