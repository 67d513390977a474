"""The API in several processes: they serve one port, publish common metrics, and end together."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.integration.raw import LIST, Connection, request
from tests.integration.seed import go_live
from tests.processes import SECRET, Api, projector
from tests.servers.process import free_port, wait_until

WORKERS = 2
# What a machine that is busy with other tests may take, in seconds.
SOON_S = 20.0


@pytest.fixture
def api(one_redis_url: str, tmp_path: Path) -> Iterator[Api]:
    with Redis.from_url(one_redis_url) as client:
        go_live(client)
    (tmp_path / "tmp").mkdir()
    settings = {"API_WORKERS": str(WORKERS), "LOG_FORMAT": "json", "TMPDIR": str(tmp_path / "tmp")}
    with Api(tmp_path, one_redis_url, **settings) as api:
        wait_until(lambda: len(serving(api)) == WORKERS, SOON_S, "all workers")
        # Its connection would be counted until it has been idle for too long.
        api.client.close()
        yield api
        if api.process.poll() is None:
            assert_ends(api, signal.SIGINT)


def assert_ends(api: Api, number: int) -> None:
    assert api.stop(number, timeout_s=8) == 0
    assert not is_listened_to(api.port)
    assert left_over(api) == []
    assert "Traceback" not in api.text()


def logged(api: Api, event: str) -> list[dict[str, Any]]:
    """Returns the lines of its log with that event."""
    whole = api.text().rpartition("\n")[0]
    return [line for line in map(json.loads, whole.splitlines()) if line["event"] == event]


def serving(api: Api) -> list[int]:
    """Returns the process ids of the workers, by slot."""
    last: dict[int, int] = {line["worker"]: line["process"] for line in logged(api, "serving")}
    return [last[number] for number in sorted(last)]


@contextmanager
def only_worker(api: Api, number: int) -> Iterator[None]:
    """Stops the other workers meanwhile."""
    others = [process for worker, process in enumerate(serving(api)) if worker != number]
    for process in others:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in others:
            os.kill(process, signal.SIGCONT)


def ask(api: Api, target: str = LIST) -> str:
    with Connection(api.port) as connection:
        connection.send(request(target))
        answer = connection.got()
        assert answer.status == 200
        return answer.body.decode()


def metric(api: Api, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", ask(api, "/metrics"), re.MULTILINE)
    return float(found[1]) if found else 0.0


def is_listened_to(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def left_over(api: Api) -> list[Path]:
    return list((api.output.parent / "tmp").glob("order-groups-*"))


LISTS = f'order_groups_api_requests_total{{method="GET",plan="rank",route="{LIST}",status="200"}}'
TIMES = f'order_groups_api_request_duration_seconds_count{{plan="rank",route="{LIST}"}}'
CONNECTIONS = "order_groups_api_connections"


def test_each_worker_publishes_the_metrics_of_all(api: Api) -> None:
    for number, lists in ((0, 3), (1, 4)):
        with only_worker(api, number):
            for _ in range(lists):
                ask(api)
            assert "live" in ask(api, "/health/live")
            assert "ready" in ask(api, "/health/ready")
    for number in range(WORKERS):
        with only_worker(api, number):
            assert metric(api, LISTS) == metric(api, TIMES) == 7
    with ExitStack() as held:
        for number in range(WORKERS):
            with only_worker(api, number):
                connection = held.enter_context(Connection(api.port))
                connection.send(request())
                assert connection.got().status == 200
        # And the one that asks.
        wait_until(lambda: metric(api, CONNECTIONS) == WORKERS + 1, SOON_S, "their connections")
    text = ask(api, "/metrics")
    assert len(re.findall(r'^process_start_time_seconds\{worker="\d"\} ', text, re.MULTILINE)) in (0, WORKERS)
    assert text.count("# TYPE order_groups_api_requests_total counter") == 1


def test_a_killed_worker_is_replaced_and_its_counters_are_kept(api: Api) -> None:
    with only_worker(api, 0), Connection(api.port) as lost:
        lost.send(request())
        assert lost.got().status == 200
        for death in (1, 2):
            # A client has its answer before that is counted.
            assert metric(api, LISTS) == death
            first, other = serving(api)
            os.kill(first, signal.SIGKILL)
            wait_until(lambda: serving(api)[0] != first, SOON_S, "another worker")  # noqa: B023
            assert serving(api)[1] == other
            ask(api)
        assert metric(api, LISTS) == 3
        assert lost.answer() is None
        assert len(left_over(api)) == 1
        assert len([file for file in left_over(api)[0].iterdir() if file.name.startswith("counter")]) == WORKERS
    ended = logged(api, "worker ended: starting another one")
    assert [(line["worker"], line["ended"], line["in_s"]) for line in ended] == [
        (0, "signal 9", 0.1),
        (0, "signal 9", 0.2),
    ]
    wait_until(lambda: metric(api, CONNECTIONS) == 1, SOON_S, "one connection")


def test_a_signal_ends_all_workers(api: Api) -> None:
    """SIGTERM; SIGINT ends the API of the other tests."""
    assert_ends(api, signal.SIGTERM)
    assert logged(api, "worker ended: starting another one") == []


def test_no_worker_outlives_its_parent(api: Api) -> None:
    api.stop(signal.SIGKILL)
    wait_until(lambda: not is_listened_to(api.port), SOON_S, "the end of all workers")
    wait_until(lambda: left_over(api) == [], SOON_S, "an empty folder")
    assert "Traceback" not in api.text()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_in_use(tmp_path: Path, workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = {"API_PORT": str(port), "REDIS_URL": "redis://localhost", "JWT_SECRET": SECRET}
        done = projector("serve", "--workers", workers, cwd=tmp_path, settings=settings)
    assert done.returncode == 2
    assert done.stderr == f"projector: API_PORT: cannot listen on 127.0.0.1:{port} (Address already in use)\n"


_FAILING = """
import os, sys
from functools import partial
from api.config import ApiConfig
from api.errors import WorkerFailed
from api.workers import serve
try:
    serve(ApiConfig("redis://localhost", port=int(sys.argv[1]), jwt_secret="s" * 32, workers=2), partial(os._exit, 7))
except WorkerFailed as error:
    sys.exit(str(error))
"""


def test_a_worker_that_cannot_start_ends_all() -> None:
    command = [sys.executable, "-c", _FAILING, str(free_port())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.stderr.splitlines()[-1] == (
        "expected a worker of the API to serve, but it ended first (exit code 7): see its log"
    )
    assert done.returncode == 1
