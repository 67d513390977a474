"""Two replays at a time, from two simulated hosts: in separate namespaces neither sees the other's process."""

import os
import random
import signal
from pathlib import Path

import pytest

from tests.chaos.stage import Stage
from tests.chaos.survived import survived
from tests.processes import Process
from tests.servers.process import wait_until
from tests.servers.redis import RedisHome, RedisServer

# `make chaos` runs 20.
ROUNDS = int(os.environ.get("CHAOS_HOSTS_ROUNDS", 2))
EVENTS = 6_000


class Host(Process):
    """`projector replay` on a host of that name."""

    def __init__(self, name: str, stage: Stage) -> None:
        enter = f'hostname {name}; exec "$0" "$@"'
        self.prefix = ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", enter]
        super().__init__("replay", "--yes", "--park", cwd=stage.folder, **stage.settings)


@pytest.mark.chaos
@pytest.mark.timeout(120 + 60 * ROUNDS)
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
            before = stage.generations()
            with Host("host-a", stage) as first:
                wait_until(lambda: stage.client.exists("{og:live}:replay") == 1, 30, "the lease")
                with Host("host-b", stage) as second:
                    assert second.process.wait(30) == 2, second.text()
                    assert "another replay is running: projector replay, process " in second.text()
                    assert "on host-a" in second.text()
                    busy += 1
                if chance.random() < 0.5:
                    wait_until(lambda: stage.generations() != before, 30, "a generation")  # noqa: B023
                first.process.send_signal(signal.SIGKILL)
                first.process.wait()
            with Host("host-b", stage) as third:
                stage.publish(200)
                assert third.process.wait(60) == 0, third.text()
            stage.wait()
            stage.check_now()
        stage.check()
        assert run.process.poll() is None, run.text()
        assert run.stop() == 0
    assert busy == ROUNDS
    survived("two replays from two hosts", ROUNDS, stage.ledger.records)
