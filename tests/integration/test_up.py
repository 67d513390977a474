"""`projector up` as a new user runs it, and other commands beside it."""

import json
import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from tests.poison import event
from tests.processes import Process, projector
from tests.servers.process import free_port, wait_until

ANSWER_S = 15.0
LATER = str(Path(__file__).parent / "version_two")


class Up(Process):
    """`projector up --demo` in a fresh directory; `curl` runs the line that it printed."""

    def __init__(self, cwd: Path, *options: str, port: int | None = None, **settings: str) -> None:
        self.port = port or free_port()
        self.started_s = time.monotonic()
        super().__init__("up", *options, "--port", str(self.port), cwd=cwd, **settings)

    def wait(self) -> None:
        wait_until(lambda: self._over() or "\ncurl " in self.text(), ANSWER_S, "the curl line")
        assert "\ncurl " in self.text(), self.text()

    def curl(self) -> dict[str, Any]:
        match = re.search(r"^curl .*$", self.text(), re.MULTILINE)
        assert match
        answer = subprocess.run([*shlex.split(match[0]), "-sS", "--fail"], capture_output=True, check=True)
        found: dict[str, Any] = json.loads(answer.stdout)
        return found

    def _over(self) -> bool:
        return self.process.poll() is not None


def processes_of(folder: Path) -> list[str]:
    """Returns command lines of processes that run in the folder, or have it among their arguments."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            where = os.readlink(process / "cwd")
        except OSError:
            continue
        if where.startswith(str(folder)) or str(folder) in command:
            found.append(command)
    return found


def port_is_free(port: int) -> bool:
    return subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}/"], check=False, capture_output=True).returncode == 7


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_start_stop_and_start_again(folder: Path) -> None:
    with Up(folder, "--demo") as up:
        up.wait()
        wait_until(lambda: len(up.curl()["order_groups"]) == 3, ANSWER_S, "the first page")
        assert time.monotonic() - up.started_s < ANSWER_S
        wait_until(lambda: up.curl()["count"] > 1000, 15, "the history of the demo")
        before = up.curl()["count"]
        wait_until(lambda: up.curl()["count"] > before, 10, "the demo to go on")
        assert len(processes_of(folder)) >= 4
        assert up.stop(signal.SIGINT, 15) == 0
    outputs = [up.text(), *(path.read_text() for path in (folder / ".projector" / "output").iterdir())]
    assert len(outputs) == 4
    assert [text for text in outputs if "Traceback" in text or "Fatal" in text] == []
    assert processes_of(folder) == []
    assert port_is_free(up.port)
    with Up(folder) as again:
        again.wait()
        assert again.curl()["count"] >= before
        assert again.stop(signal.SIGTERM, 15) == 0
    assert processes_of(folder) == []


def test_its_token_is_an_operators(folder: Path) -> None:
    """A new user breaks an event, sees it parked, and discards it."""
    with Up(folder) as up:
        up.wait()
        printed = re.search(r"Bearer (\S+)'", up.text())
        assert printed
        headers = {"Authorization": f"Bearer {printed[1]}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{up.port}/admin/projector/", headers=headers) as client:
            done = projector("publish", "-", "--unchecked", cwd=folder, stdin=b"broken\n")
            assert (done.returncode, done.stdout.strip()) == (0, "orders/0@1"), done.stderr
            wait_until(lambda: client.get("parked").json()["count"] == 1, 10, "the parked event")
            page = client.get("parked").json()
            (parked,) = page["parked"]
            assert (parked["position"], parked["text"]) == ("orders/0@0", "broken")
            expected = {"active": page["active"], "parked": {"orders/0@0": parked["digest"]}}
            action = {"action": "discard", "arguments": {"positions": ["orders/0@0"]}, "expected": expected}
            assert client.post("actions", json=action).status_code == 202
            wait_until(lambda: client.get("parked").json()["count"] == 0, 20, "the discard")
            (action,) = client.get("actions").json()["actions"]
            assert (action["who"], action["text"]) == ("actor user_development", "1 discarded; they stay in the log")
            assert client.get("pipeline").json()["partitions"][0]["discarded"] == 1
        assert up.stop(signal.SIGINT, 15) == 0


def test_the_other_commands_talk_to_the_same_instance(folder: Path) -> None:
    with Up(folder) as up:
        up.wait()
        assert up.curl() == {"order_groups": [], "count": 0, "offset": 0, "limit": 3}
        lines = b"\n".join(json.dumps(event(number)).encode() for number in range(5))
        published = projector("publish", "-", cwd=folder, stdin=lines)
        assert (published.returncode, published.stdout.strip()) == (0, "orders/0@5"), published.stderr
        wait_until(lambda: up.curl()["count"] == 5, 10, "the five")
        status = json.loads(projector("status", "--json", "--interval", "0", cwd=folder).stdout)
        assert [(p["partition"], p["position"], p["end"], p["lag"]) for p in status["partitions"]] == [
            ("orders/0", 5, 5, 0)
        ]
        assert [(g["groups"], g["live"]) for g in status["generations"]] == [(5, True)]
        assert status["generations"][0]["bytes"] > 1000
        assert "orders/0" in projector("status", cwd=folder).stdout
        assert projector("token", cwd=folder).stdout.count(".") == 2
        console = re.search(rf"^(http://127\.0\.0\.1:{up.port}/console)#token=(\S+)$", up.text(), re.MULTILINE)
        assert console
        assert httpx.get(console[1]).headers["Content-Type"].startswith("text/html")
        bearer = {"Authorization": f"Bearer {console[2]}"}
        assert httpx.get(f"http://127.0.0.1:{up.port}/admin/order-groups", headers=bearer).json()["count"] == 5
        claims = jwt.decode(console[2], options={"verify_signature": False})
        assert 0 < claims["exp"] - time.time() <= 12 * 3600
        running = f"already runs in .projector (process {up.process.pid} at http://127.0.0.1:{up.port})"
        for port in (up.port, free_port()):
            second = projector("up", "--port", str(port), cwd=folder)
            assert second.returncode == 2
            assert running in second.stderr
        assert f"Logs: {folder}/.projector/output" in up.text()
        assert up.stop(signal.SIGINT, 15) == 0


@pytest.mark.parametrize(("setting", "status"), [("", 200), ("credentials", 401)])
def test_the_reference_opens_in_a_browser_unless_it_is_set_otherwise(folder: Path, setting: str, status: int) -> None:
    with Up(folder, OPENAPI_ACCESS=setting, CONSOLE="off") as up:
        up.wait()
        assert "/console" not in up.text()
        assert httpx.get(f"http://127.0.0.1:{up.port}/console").status_code == 401
        for path, expected in (("/docs", status), ("/openapi.json", status), ("/admin/order-groups", 401)):
            assert httpx.get(f"http://127.0.0.1:{up.port}{path}").status_code == expected
        assert (f"http://127.0.0.1:{up.port}/docs" in up.text()) == (status == 200)
        assert up.stop(signal.SIGINT, 15) == 0


def test_after_a_kill_no_process_remains(folder: Path) -> None:
    with Up(folder) as up:
        up.wait()
        projector("publish", "--sample", "50", cwd=folder)
        wait_until(lambda: up.curl()["count"] > 0, 10, "the sample")
        up.process.kill()
        up.process.wait()
        wait_until(lambda: processes_of(folder) == [], 10, "the end of all its processes")
    with Up(folder) as again:
        again.wait()
        assert again.curl()["count"] > 0
        assert again.stop(signal.SIGINT, 15) == 0
    assert processes_of(folder) == []


def test_a_used_port_is_reported_before_anything_starts(folder: Path) -> None:
    with Up(folder) as up:
        up.wait()
        other = folder / "other"
        other.mkdir()
        refused = projector("up", "--port", str(up.port), cwd=other)
        assert refused.returncode == 2
        assert f"API_PORT: cannot listen on 127.0.0.1:{up.port} (Address already in use)" in refused.stderr
        assert list(other.iterdir()) == []
        assert up.stop(signal.SIGINT, 15) == 0


@pytest.mark.parametrize("name", ["x%41y", "x#y", "x?y", "a b", "größe", "line\nbreak", "quote\"'\\", "\udcff"])
def test_the_log_is_in_the_data_dir(folder: Path, name: str) -> None:
    done = projector("publish", "--sample", "5", "--data-dir", name, cwd=folder)
    assert (done.returncode, done.stdout.startswith("orders/0@")) == (0, True), done.stderr
    assert os.listdir(folder) == [name]
    assert (folder / name / "orders.db").exists()


def test_any_name_of_a_data_dir(folder: Path) -> None:
    name = "x%41 #?\n\"'ü"
    (folder / name).mkdir()
    with Up(folder, "--data-dir", name) as up:
        up.wait()
        assert projector("publish", "--sample", "50", "--data-dir", name, cwd=folder).returncode == 0
        wait_until(lambda: up.curl()["count"] > 0, 10, "the sample")
        assert up.stop(signal.SIGINT, 15) == 0
    assert {path.name for path in folder.iterdir()} == {name, up.output.name}
    assert {path.name for path in (folder / name).iterdir()} >= {"orders.db", "redis", "output", "up.lock"}


@pytest.mark.thorough
def test_the_data_of_an_earlier_version(folder: Path) -> None:
    """A newer release migrates it by itself: without a running Redis nobody could run a replay."""
    with Up(folder, "--demo") as up:
        up.wait()
        wait_until(lambda: up.curl()["count"] > 1000, 15, "the history of the demo")
        assert up.stop() == 0
    with Up(folder, PYTHONPATH=LATER) as up:
        up.wait()
        assert sellers(up) > 1000, "its documents, as soon as it says that the list is served"
        wait_until(lambda: states(folder) == {0: "kept", 1: "live"}, 30, "the new version is live")
        assert up.stop() == 0


def sellers(up: Up) -> int:
    """Returns the lowest seller_count on the first page; above 1000 in documents of the later version."""
    found: int = min(row["seller_count"] for row in up.curl()["order_groups"])
    return found


@pytest.mark.thorough
def test_back_from_a_later_version(folder: Path) -> None:
    """The earlier release continues from the later one's state, even if none of its generations is kept."""
    later = {"PYTHONPATH": LATER}
    with Up(folder) as up:
        up.wait()
        publish_one(folder, 0)
        wait_until(lambda: up.curl()["count"] == 1, 10, "its event")
        assert up.stop() == 0
    with Up(folder, PYTHONPATH=LATER) as up:
        up.wait()
        wait_until(lambda: states(folder) == {0: "kept", 1: "live"}, 30, "the later version is live")
        assert projector("replay", "--yes", cwd=folder, settings=later).returncode == 0
        publish_one(folder, 1)
        wait_until(lambda: up.curl()["count"] == 2, 10, "its event")
        assert up.stop() == 0
    with Up(folder) as up:
        up.wait()
        wait_until(lambda: "To go back to it" in up.text(), 10, "the way back")
        publish_one(folder, 2)
        assert (up.curl()["count"], states(folder)[2]) == (1, "live")
        assert projector("replay", "rollback", cwd=folder).returncode == 0
        assert states(folder) == {0: "live", 1: "kept", 2: "kept"}
        wait_until(lambda: up.curl()["count"] == 3, 10, "all events")
        assert sellers(up) < 1000
        publish_one(folder, 3)
        wait_until(lambda: up.curl()["count"] == 4, 10, "the projector to go on")
        assert projector("replay", "rollback", "2", cwd=folder, settings=later).returncode == 0
        assert projector("replay", "drop", "0", cwd=folder).returncode == 0
        done = projector("replay", "--yes", "--accept-differences", cwd=folder)
        assert done.returncode == 0, done.stderr
        assert states(folder)[3] == "live"
        publish_one(folder, 4)
        wait_until(lambda: up.curl()["count"] == 5, 10, "the projector to go on")
        assert sellers(up) < 1000
        assert up.stop() == 0


def publish_one(folder: Path, number: int) -> None:
    done = projector("publish", "-", cwd=folder, stdin=json.dumps(event(number)).encode())
    assert done.returncode == 0, done.stderr


def states(folder: Path) -> dict[int, str]:
    found = json.loads(projector("replay", "list", "--json", cwd=folder).stdout)
    return {one["number"]: one["state"] for one in found}
