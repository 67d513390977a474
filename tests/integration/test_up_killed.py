"""SIGKILL of one, any two, or all processes of `projector up`: the next `up` has the data."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import pytest
import redis

from projector.home import Home
from projector.store.nodes import connect
from projector.up import valkey
from projector.up.child import stop
from tests.integration.test_up import Up, processes_of
from tests.poison import event
from tests.processes import projector
from tests.servers.process import free_port, wait_until
from tests.thorough import thorough

# Processes, each with a unique part of its command line. `up` is the parent of the other three.
CHILDREN = {"valkey": "valkey-server", "projector": " run ", "api": " serve "}
NAMES = ("up", *CHILDREN)
KILLED = [("up",), ("valkey",), NAMES]
MORE_KILLED = [("projector",), ("api",), *combinations(NAMES, 2)]


class Instance:
    """A data dir that all cases share, always with the same port. Each case finds and leaves it running."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.published = 0
        self.running = Up(folder, port=self.port)

    def start_again(self) -> None:
        with self.running:
            self.running = Up(self.folder, port=self.port)

    def publish(self) -> None:
        """Publishes one more group, which must be listed with all earlier ones."""
        self.running.wait()
        self.published += 1
        done = projector("publish", "-", cwd=self.folder, stdin=json.dumps(event(self.published)).encode())
        assert done.returncode == 0, done.stderr
        wait_until(lambda: self.running.curl()["count"] == self.published, 10, f"all {self.published} groups")


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    found = Instance(tmp_path_factory.mktemp("killed"))
    found.publish()
    yield found
    with found.running:
        assert found.running.stop(signal.SIGINT, 15) == 0
    wait_until(lambda: processes_of(found.folder) == [], 10, "the end of all processes")


def kill(up: Up, names: Sequence[str]) -> None:
    """Kills the parent first: it would stop the others as soon as it notices that one has stopped."""
    pids = {"up": up.process.pid, **children(up)}
    for name in names:
        os.kill(pids[name], signal.SIGKILL)


def children(up: Up) -> dict[str, int]:
    found, parent = {}, up.process.pid
    for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        found.update({name: int(pid) for name, part in CHILDREN.items() if part in command})
    assert found.keys() == CHILDREN.keys()
    return found


@pytest.mark.parametrize("killed", [*KILLED, *thorough(*((names,) for names in MORE_KILLED))], ids="-".join)
def test_it_starts_again_with_its_data(instance: Instance, killed: Sequence[str]) -> None:
    kill(instance.running, killed)
    # Does not wait for processes that outlive the parent: the next `up` must do that.
    assert instance.running.process.wait(15) == (-signal.SIGKILL if "up" in killed else 2)
    instance.start_again()
    instance.publish()


def test_it_waits_for_the_port_of_an_earlier_api(instance: Instance) -> None:
    api = children(instance.running)["api"]
    os.kill(api, signal.SIGSTOP)
    kill(instance.running, ["up"])
    instance.running.process.wait()
    instance.start_again()
    wait_until(lambda: "Waiting for processes of a killed" in instance.running.text(), 10, "the line that it waits")
    os.kill(api, signal.SIGCONT)
    instance.publish()


def test_it_waits_while_redis_loads_its_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a time limit, but a stop ends the wait."""
    home = _home_that_takes_long_to_load(tmp_path)
    monkeypatch.setattr(valkey, "START_TIMEOUT_S", 0.1)
    process = valkey.start_valkey(home)
    stopping = threading.Event()
    try:
        started_s = time.monotonic()
        valkey.wait_for_valkey(home, process, stopping)
        assert time.monotonic() - started_s > 0.3
        with connect(home.redis_url) as client:
            assert client.get("k") == b"v"
    finally:
        stop(process)
    process = valkey.start_valkey(home)
    try:
        wait_until(home.redis_socket.exists, 10, "that it listens")
        stopping.set()
        valkey.wait_for_valkey(home, process, stopping)
        with connect(home.redis_url) as client, pytest.raises(redis.BusyLoadingError):
            client.get("k")
    finally:
        stop(process)


def _home_that_takes_long_to_load(folder: Path) -> Home:
    home = Home(folder / "data")
    home.create()
    files = home.redis / "appendonlydir"
    files.mkdir()
    (files / "appendonly.aof.manifest").write_text("file appendonly.aof.1.incr.aof seq 1 type i\n")
    (files / "appendonly.aof.1.incr.aof").write_bytes(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n" * 3_000_000)
    return home
