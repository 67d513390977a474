"""Redis refuses commits for a while, again and again, while events are published."""

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from events.errors import LogUnavailable
from tests.chaos.stage import Stage
from tests.chaos.survived import survived
from tests.integration.torn import COMMANDS
from tests.integration.watched import Projector
from tests.servers.process import wait_until
from tests.servers.redis import RedisHome, RedisServer

# `make chaos` runs 100.
ROUNDS = int(os.environ.get("CHAOS_REFUSING_ROUNDS", 4))
WAIT_S = 30.0
# The size of the disk that is filled.
DISK_BYTES = (48 + 8 * ROUNDS) * 1024**2


class Bench:
    """`disk`: the folder of Redis' files."""

    def __init__(self, disk: Path, stage: Stage, run: Projector) -> None:
        self.client: Any = stage.client
        self.disk = disk
        self.stage = stage
        self.chance = random.Random(3)
        self._run = run

    def refused(self, *names: str) -> float:
        return sum(self._run.metric("redis_refusals_total", refusal=name) for name in names)

    @contextmanager
    def until_refused(self, *names: str, meanwhile: Callable[[], None] = lambda: None) -> Iterator[None]:
        """The block causes refusals. Then publishes events, and waits until some attempts are refused."""

        def are_refused() -> bool:
            meanwhile()
            return self.refused(*names) >= before + attempts

        before, attempts = self.refused(*names), self.chance.randint(1, 3)
        yield
        self.stage.publish(self.chance.randint(50, 400))
        wait_until(are_refused, WAIT_S, f"{names} to be counted")


def flip_a_right(bench: Bench) -> None:
    command = bench.chance.choice(sorted({*COMMANDS, "EVALSHA"} - {"HEXISTS"})).lower()
    bench.stage.publish(bench.chance.randint(0, 600))
    with bench.until_refused("NOPERM"):
        bench.client.execute_command("ACL", "SETUSER", "default", f"-{command}")
    bench.client.execute_command("ACL", "SETUSER", "default", f"+{command}")


def reach_the_limit(bench: Bench) -> None:
    """Sets a memory limit, twice, each of which is reached soon, and removes it."""
    for _ in range(2):
        with bench.until_refused("OOM"):
            bench.client.config_set("maxmemory", bench.client.info("memory")["used_memory"] + 100_000)
            bench.stage.publish(500)
    bench.client.config_set("maxmemory", 0)


def fill_the_disk(bench: Bench) -> None:
    """A rewrite of the append-only file that fails leaves space: commits fill it, too.

    Redis 7.0 leaves zeros in a file that a rewrite has begun where the disk was full, and could not read it at its next
    start: the file is rewritten once there is space.
    """
    with full(bench.disk), bench.until_refused("MISCONF", meanwhile=lambda: bench.stage.publish(100)):
        bench.stage.publish(1000)
    bench.stage.wait()
    wait_until(lambda: not bench.client.info("persistence")["aof_rewrite_in_progress"], WAIT_S, "no rewrite")
    bench.client.bgrewriteaof()
    wait_until(lambda: not bench.client.info("persistence")["aof_rewrite_in_progress"], WAIT_S, "the rewrite")
    assert bench.client.info("persistence")["aof_last_bgrewrite_status"] == "ok"


FAULTS: dict[str, Callable[[Bench], None]] = {
    "a right is taken away and given back": flip_a_right,
    "the memory limit is reached and raised": reach_the_limit,
    "the disk of Redis' append-only file is full": fill_the_disk,
}


@contextmanager
def full(disk: Path) -> Iterator[None]:
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"\0" * 4096):
            pass
    yield
    filler.unlink()


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def is_checked(number: int) -> bool:
    """Not after each round: a check reads all that there is."""
    return number < 10 or number % 10 == 0


@pytest.mark.chaos
@pytest.mark.timeout(120 + 30 * ROUNDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_refused_is_applied_once(cluster_server_home: RedisHome, tmp_path: Path, fault: str) -> None:
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(tmp_path / "disk"))
        settings = ("--dir", str(disk), "--auto-aof-rewrite-min-size", "4mb")
        server = stack.enter_context(RedisServer(cluster_server_home, *settings))
        stage = stack.enter_context(Stage(tmp_path, server.url))
        run = stack.enter_context(Projector(tmp_path, **stage.settings))
        bench = Bench(disk, stage, run)
        for number in range(ROUNDS):
            FAULTS[fault](bench)
            stage.wait()
            if is_checked(number):
                stage.check_now()
        server.kill()
        server.restart()
        stage.publish(100)
        stage.check()
        assert run.process.poll() is None, run.text()
        assert run.stop() == 0
    survived(fault, ROUNDS, stage.ledger.records)


@pytest.mark.chaos
@pytest.mark.timeout(120 + 30 * ROUNDS)
def test_the_disk_of_the_log_is_full(cluster_server_home: RedisHome, tmp_path: Path) -> None:
    """Exactly the acknowledged events are in the log."""
    refused = 0
    with (
        small_disk(tmp_path / "disk") as disk,
        RedisServer(cluster_server_home) as server,
        Stage(tmp_path, server.url, f"sqlite://{disk}/orders.db") as stage,
        Projector(tmp_path, **stage.settings) as run,
    ):
        for number in range(ROUNDS):
            stage.publish(500)
            with full(disk):
                for _ in range(10):
                    with suppress(LogUnavailable):
                        stage.publish(200)
                        continue
                    refused += 1
            stage.wait()
            if is_checked(number):
                stage.check_now()
        stage.check()
        assert run.process.poll() is None, run.text()
        assert run.stop() == 0
    assert refused >= ROUNDS
    survived("the disk of the SQLite log is full", ROUNDS, stage.ledger.records)
