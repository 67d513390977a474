"""The projector's health port, and the API without a projector."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path

import httpx
import pytest
from redis import Redis

from events.logs.kafka.url import kafka_settings
from tests import oracle, readmodel
from tests.integration.test_kafka_reader import Transactions
from tests.integration.test_way import marketplace
from tests.integration.watched import Projector, append, samples
from tests.poison import event
from tests.processes import Api, Process, environment, projector, wait_until_applied
from tests.readmodel import PREFIX
from tests.servers.process import free_port, wait_until
from tests.servers.redis import RedisHome, RedisServer

VERSION_TWO = str(Path(__file__).parent / "version_two")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/orders.db"


def test_counters(one_redis_url: str, url: str, tmp_path: Path) -> None:
    events = marketplace(300)
    alien = {**event(1), "type": "order.placed"}
    ends = append(url, *events, *events[:100], alien, alien, b"{", b"not json", b"")
    with Redis.from_url(one_redis_url) as client:
        # Another test may have loaded the script before.
        client.script_flush()
    with (
        Projector(tmp_path, EVENT_LOG_URL=url, REDIS_URL=one_redis_url) as run,
        Redis.from_url(one_redis_url) as client,
    ):
        wait_until_applied(client, ends)
        wait_until(run.is_ready, 10, "ready")
        assert run.get("/health/live").json() == {"status": "live"}
        assert run.get("/health/ready").json() == {"status": "ready"}
        fates = {fate: run.metric("records_total", fate=fate) for fate in ("applied", "stale", "passed_over", "parked")}
        # Every event has its own revision, so only duplicates change nothing.
        revisions = {(one["data"]["id"], one["data"]["version"]) for one in events}
        assert len(revisions) == len(events)
        assert (fates["passed_over"], fates["parked"]) == (2, 3)
        assert fates["applied"] + fates["stale"] == len(events) + 100
        assert fates["stale"] >= 100
        assert len(oracle.groups(events)) == 300
        commits = run.metric("commits_total", outcome="STORED")
        assert commits >= 2
        assert run.metric("commit_duration_seconds_count") == commits
        assert 0 < run.metric("commit_duration_seconds_sum") < 60
        assert 1 <= run.metric("batch_duration_seconds_count") <= commits
        assert run.metric("redis_refusals_total", refusal="NOSCRIPT") == 2
        wait_until(lambda: run.metric("lag", partition="orders/0") == 0, 10, "the next mark")
        assert run.metric("partitions") == 1
        assert run.metric("position", partition="orders/0") == ends["orders/0"]
        wait_until(lambda: run.metric("parked") == 3, 10, "a look at Redis")
        assert (run.metric("generation"), run.metric("generations", state="live")) == (0, 1)
        assert run.metric("ready") == 1
        assert 0 <= run.metric("turn_age_seconds") < 5
        check_the_port(run)
        check_that_metrics_stop_nothing(run, client, url)
        assert run.stop() == 0


def check_the_port(run: Projector) -> None:
    """Checks that other paths are 404."""
    where = f"http://127.0.0.1:{run.port}"
    assert run.get("/").status_code == 404
    assert httpx.head(where + "/health/live").status_code == 200
    assert httpx.post(where + "/health/live").status_code == 501
    answer = httpx.get(where + "/metrics", headers={"Accept": "application/openmetrics-text"})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def check_that_metrics_stop_nothing(run: Projector, client: "Redis", url: str) -> None:
    """Metrics that cannot be read keep their values, and the error is logged once."""
    client.set(PREFIX + "parked", "no hash any more")
    wait_until(lambda: bool(run.incidents("cannot read Redis for some metrics")), 15, "a look at it")
    wait_until_applied(client, append(url, event(2)))
    assert len(run.incidents("cannot read Redis for some metrics")) == 1


def test_a_hanging_transaction(
    kafka: str, kafka_topic: Callable[[int], str], one_redis_url: str, tmp_path: Path
) -> None:
    """Events held back by it are reported, its own and others: the lag alone would stay small."""
    url = kafka_topic(1)
    topic = kafka_settings(url, {}).topic
    name, settings = f"{topic}/0", {"EVENT_LOG_URL": url, "REDIS_URL": one_redis_url, "READY_HELD_BACK_MAX_S": "1"}
    ends = append(url, event(1))
    with (
        Projector(tmp_path, **settings) as run,
        Redis.from_url(one_redis_url) as client,
        Transactions(kafka, topic) as transactions,
    ):
        wait_until_applied(client, ends)
        wait_until(run.is_ready, 10, "ready")
        # A member is ready before its partitions are assigned.
        wait_until(lambda: run.metric("held_back", partition=name) == 0, 10, "the partition's metrics")
        assert run.metric("held_back_seconds") == 0
        transactions.begin(json.dumps(event(2)).encode())
        append(url, event(3), event(4))
        wait_until(lambda: run.metric("held_back", partition=name) == 3, 10, "a look at all of them")
        wait_until(lambda: not run.is_ready(), 10, "not ready")
        (reason,) = run.why_not_ready()
        assert re.fullmatch(r"3 events held back by an open transaction for \d+ s, READY_HELD_BACK_MAX_S is 1", reason)
        assert (run.metric("held_back", partition=name), run.metric("lag", partition=name)) == (3, 3)
        assert run.metric("held_back_seconds") > 1
        (found,) = json.loads(projector("status", "--json", cwd=tmp_path, settings=settings).stdout)["partitions"]
        assert (found["position"], found["end"], found["lag"], found["held_back"]) == (1, 4, 3, 3)
        transactions.abort()
        wait_until(run.is_ready, 10, "ready again")
        assert run.metric("held_back_seconds") == 0
        wait_until(lambda: readmodel.listed(client) == {"og_1", "og_3", "og_4"}, 10, "what was held back")
        assert run.stop() == 0


def test_without_redis_it_is_live_and_not_ready(cluster_server_home: RedisHome, url: str, tmp_path: Path) -> None:
    with RedisServer(cluster_server_home) as server, server.client() as client:
        ends = append(url, event(1))
        with Projector(tmp_path, EVENT_LOG_URL=url, REDIS_URL=server.url) as run:
            wait_until_applied(client, ends)
            wait_until(run.is_ready, 10, "ready")
            server.kill()
            ends = append(url, event(2))
            wait_until(lambda: run.metric("waiting_seconds", on="redis") > 0.5, 20, "the projector to notice")
            assert run.why_not_ready()[0].startswith("waiting for redis: Redis does not answer: ")
            assert run.get("/health/live").status_code == 200
            assert run.metric("ready") == 0
            before = run.metric("oldest_unapplied_seconds")
            wait_until(lambda: run.metric("oldest_unapplied_seconds") > max(before, 0.5), 5, "the event to grow old")
            server.restart()
            wait_until_applied(client, ends)
            wait_until(run.is_ready, 10, "ready again")
            assert run.metric("oldest_unapplied_seconds") == 0
            assert run.metric("redis_refusals_total", refusal="AWAY") >= 3
            (began,) = run.incidents("waiting")
            (over,) = run.incidents("resumed")
            assert "Redis does not answer" in began["reason"]
            assert over["waited_s"] > 0.5
            assert over["attempts"] >= 3
            assert run.stop() == 0


def test_a_stuck_loop_is_not_live(one_redis_url: str, url: str, tmp_path: Path) -> None:
    """Its log is a full pipe that is not read, which blocks the loop without a time-out."""
    append(url, event(1))
    reader, writer = os.pipe()
    size = fill(writer)
    port = free_port()
    code = "import projector.health.pulse as p; p.TURN_MAX_S = 1.0; from projector.cli import main; main()"
    settings = {"EVENT_LOG_URL": url, "REDIS_URL": one_redis_url, "PROJECTOR_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-c", code, "run"], env=environment(**settings), stderr=writer, cwd=tmp_path
    )

    def live() -> int:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/health/live", timeout=5).status_code
        except httpx.TransportError:
            return 0

    try:
        wait_until(lambda: live() == 503, 20, "the loop to be stuck")
        reasons = httpx.get(f"http://127.0.0.1:{port}/health/ready").json()["reasons"]
        assert reasons[0].startswith("the loop has been stuck for ")
        while size > 0:
            size -= len(os.read(reader, size))
        wait_until(lambda: live() == 200, 20, "the loop to turn again")
    finally:
        process.kill()
        process.wait()
        os.close(reader)
        os.close(writer)


def fill(pipe: int) -> int:
    """Fills the pipe. Returns the number of bytes."""
    size = 0
    os.set_blocking(pipe, False)
    with suppress(BlockingIOError):
        while True:
            size += os.write(pipe, b"x" * 512)
    os.set_blocking(pipe, True)
    return size


@pytest.mark.parametrize(
    ("command", "host", "error"),
    [
        ("run", "127.0.0.1", "PROJECTOR_PORT: cannot listen on 127.0.0.1:{port} (Address already in use): set another"),
        ("up", "127.0.0.1", "PROJECTOR_PORT: cannot listen on 127.0.0.1:{port} (Address already in use): set another"),
        ("run", "no such host", "PROJECTOR_HOST: expected an address of this machine, got 'no such host'"),
    ],
)
def test_a_bad_port_is_one_line(tmp_path: Path, command: str, host: str, error: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = {"PROJECTOR_HOST": host, "PROJECTOR_PORT": str(port), "API_PORT": str(free_port())}
        failed = projector(command, cwd=tmp_path, settings=settings)
    assert failed.returncode == 2
    assert failed.stderr.startswith("projector: " + error.format(port=port))
    assert failed.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [], "reported after something was started"


def test_a_member_without_a_partition_is_ready(
    kafka_topic: Callable[[int], str], one_redis_url: str, tmp_path: Path
) -> None:
    url = kafka_topic(1)
    topic = url.split("/")[-1].split("?")[0]
    append(url, event(1))
    settings = {"EVENT_LOG_URL": url, "REDIS_URL": one_redis_url}
    with Projector(tmp_path, **settings) as first, Projector(tmp_path, **settings) as second:
        wait_until(lambda: first.is_ready() and second.is_ready(), 30, "both")
        wait_until(lambda: first.metric("partitions") + second.metric("partitions") == 1, 20, "one owner")
        owner, other = (first, second) if first.metric("partitions") else (second, first)
        wait_until(lambda: owner.metric("position", partition=f"{topic}/0") == 1, 20, "its position")
        assert owner.metric("lag", partition=f"{topic}/0") == 0
        assert samples(other.get("/metrics").text, "order_groups_projector_lag") == []
        assert other.is_ready()
        assert owner.stop() == 0
        wait_until(lambda: other.metric("lag", partition=f"{topic}/0") == 0, 30, "the other one to take over")
        assert other.stop() == 0


def test_standing_by_is_reported(one_redis_url: str, url: str, tmp_path: Path) -> None:
    ends = append(url, event(1))
    settings = {"EVENT_LOG_URL": url, "REDIS_URL": one_redis_url}
    with Projector(tmp_path, **settings) as run, Redis.from_url(one_redis_url) as client:
        wait_until_applied(client, ends)
        assert run.metric("standing_by") == 0
        newer = {**settings, "PYTHONPATH": VERSION_TWO}
        assert projector("replay", "--yes", "--accept-differences", cwd=tmp_path, settings=newer).returncode == 0
        wait_until(lambda: run.metric("standing_by") == 1, 20, "standing by")
        assert run.why_not_ready() == ["another version of the read model is live"]
        assert run.get("/health/live").status_code == 200
        wait_until(lambda: run.metric("generations", state="kept") == 1, 10, "a look at Redis")
        assert run.metric("generations", state="live") == 1
        assert projector("replay", "rollback", cwd=tmp_path, settings=settings).returncode == 0
        wait_until(run.is_ready, 20, "ours to be live again")
        assert run.stop() == 0


def test_a_replay_is_reported(one_redis_url: str, url: str, tmp_path: Path) -> None:
    events = marketplace(300)
    ends = append(url, *events)
    settings = {"EVENT_LOG_URL": url, "REDIS_URL": one_redis_url}
    with Projector(tmp_path, **settings) as run, Redis.from_url(one_redis_url) as client:
        wait_until_applied(client, ends)
        assert run.metric("order_groups_replay_under_way") == 0
        with Process("replay", "build", "--yes", cwd=tmp_path, **settings) as build:
            worker = worker_of(build.process.pid)
            os.kill(worker, signal.SIGSTOP)
            try:
                wait_until(lambda: run.metric("order_groups_replay_expected", step="build") > 0, 20, "its progress")
                assert run.metric("order_groups_replay_expected", step="build") == len(events)
                assert 0 <= run.metric("order_groups_replay_done", step="build") <= len(events)
                assert run.metric("order_groups_replay_under_way") == 1
                assert run.metric("generations", state="building") == 1
            finally:
                os.kill(worker, signal.SIGCONT)
            assert build.process.wait(60) == 0
        wait_until(lambda: run.metric("order_groups_replay_under_way") == 0, 15, "the end of it")
        assert run.stop() == 0


def worker_of(process: int) -> int:
    """Waits until the worker runs: between fork and exec its parent waits for it."""
    found: list[int] = []

    def look() -> bool:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        found[:] = [int(child) for child in children if b"\0work\0" in Path(f"/proc/{child}/cmdline").read_bytes()]
        return bool(found)

    wait_until(look, 20, "a worker")
    return found[0]


def test_an_outdated_end_of_the_log_is_reported(one_redis_url: str, url: str, tmp_path: Path) -> None:
    ends = append(url, event(1))
    strict = {"READY_END_AGE_MAX_S": "2"}
    with (
        Api(tmp_path, one_redis_url) as api,
        Api(tmp_path, one_redis_url, **strict) as bound,
        Redis.from_url(one_redis_url) as client,
    ):

        def age_s() -> float:
            ((_, value),) = samples(api.client.get("/metrics").text, "order_groups_api_end_age_seconds")
            return value

        def ready(of: Api) -> int:
            return of.client.get("/health/ready").status_code

        assert age_s() == inf
        with Projector(tmp_path, EVENT_LOG_URL=url, REDIS_URL=one_redis_url) as run:
            wait_until_applied(client, ends)
            wait_until(lambda: age_s() < 2, 10, "the end")
            wait_until(lambda: (ready(api), ready(bound)) == (200, 200), 10, "both ready")
            assert run.stop() == 0
        left_s = time.monotonic()
        assert samples(api.client.get("/metrics").text, "order_groups_api_lag") == [({}, 0)]
        wait_until(lambda: ready(bound) == 503, 10, "the bound")
        assert ready(api) == 200, "a list that stands still is better than none"
        assert age_s() >= 2
        assert age_s() <= time.monotonic() - left_s + 3
        client.hset(PREFIX + "end", "orders/0", 7)
        assert samples(api.client.get("/metrics").text, "order_groups_api_lag") == [({}, 6)]
