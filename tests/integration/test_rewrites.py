"""Each master rewrites its append-only file once after its start, or an error is logged."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.cluster import RedisCluster

from tests.conftest import without
from tests.integration.rebuilding import Shop
from tests.integration.watched import Projector, append
from tests.poison import event
from tests.processes import wait_until_applied
from tests.servers.process import wait_until
from tests.servers.redis import RedisHome, RedisServer, binary_homes

READY_S = 30.0
LATE = (
    "Redis restarted before its append-only file was rewritten, and may have applied half a transaction: "
    "run `projector verify`, and if it finds differences, `projector replay`"
)


@pytest.fixture
def home() -> RedisHome:
    """Returns a Redis that leaves half a transaction in a torn file."""
    found = [home for home in binary_homes(os.environ) if home.name.startswith("redis-")]
    if not found:
        without("no Redis here needs a rewrite after a start: install redis-server")
    return found[0]


@pytest.fixture
def url(tmp_path: Path) -> str:
    log_url = f"sqlite://{tmp_path}/orders.db"
    append(log_url, event(1))
    return log_url


@pytest.fixture
def server(home: RedisHome) -> Iterator[RedisServer]:
    with RedisServer(home) as server:
        yield server


def started(folder: Path, url: str, redis_url: str) -> Projector:
    return Projector(folder, EVENT_LOG_URL=url, REDIS_URL=redis_url)


def wait_until_ready(run: Projector) -> None:
    wait_until(run.is_ready, READY_S, "ready")


def rewrites(redis_url: str) -> int:
    with Redis.from_url(redis_url) as client:
        return int(client.info("persistence")["aof_rewrites"])


def obstruct(server: RedisServer) -> Path:
    """Puts a folder in place of the next file."""
    files = server.directory / "appendonlydir"
    newest = max(int(file.suffixes[-3].removeprefix(".")) for file in files.glob("*.base.*"))
    obstacle = files / f"appendonly.aof.{newest + 1}.base.rdb"
    (obstacle / "full").mkdir(parents=True)
    return obstacle


def clear(obstacle: Path) -> None:
    (obstacle / "full").rmdir()
    obstacle.rmdir()


def count(run: Projector, rewrite: str) -> float:
    return run.metric("aof_rewrites_total", rewrite=rewrite)


def test_it_is_rewritten_once_after_each_start(server: RedisServer, tmp_path: Path, url: str) -> None:
    with started(tmp_path, url, server.url) as run:
        wait_until_ready(run)
        assert (rewrites(server.url), count(run, "done")) == (1, 1)
        server.shut_down()
        server.restart()
        wait_until(lambda: count(run, "done") == 2, READY_S, "another one")
        wait_until_ready(run)
        assert rewrites(server.url) == 1
        with server.client() as client:
            assert client.hlen("{og:live}:rewrites") == 0
        assert run.stop() == 0
    with started(tmp_path, url, server.url) as run:
        wait_until_ready(run)
        assert (rewrites(server.url), count(run, "done")) == (1, 0)


def test_without_append_only_file_nothing_is_done(home: RedisHome, tmp_path: Path, url: str) -> None:
    with RedisServer(home, "--appendonly", "no") as server, started(tmp_path, url, server.url) as run:
        wait_until_ready(run)
        assert rewrites(server.url) == 0
        assert [count(run, name) for name in ("done", "failed", "refused", "late")] == [0, 0, 0, 0]


def test_a_failed_rewrite_is_retried_by_the_next_process(server: RedisServer, tmp_path: Path, url: str) -> None:
    obstacle = obstruct(server)
    with started(tmp_path, url, server.url) as run, server.client() as client:
        # It applies events meanwhile.
        wait_until_applied(client, append(url, event(2)))
        wait_until(lambda: count(run, "failed") >= 2, READY_S, "a second attempt")
        assert [reason for reason in run.why_not_ready() if "rewrites its append-only file" in reason]
        run.process.kill()
        run.process.wait()
    with started(tmp_path, url, server.url) as run:
        wait_until(lambda: count(run, "failed") >= 1, READY_S, "the same")
        assert run.why_not_ready() == [f"Redis at {server.url.removeprefix('redis://')} rewrites its append-only file"]
        clear(obstacle)
        wait_until_ready(run)
        assert (count(run, "done"), run.incidents(LATE)) == (1, [])


def test_a_restart_before_the_rewrite_is_logged(server: RedisServer, tmp_path: Path, url: str) -> None:
    obstacle = obstruct(server)
    with started(tmp_path, url, server.url) as run:
        wait_until(lambda: count(run, "failed") >= 1, READY_S, "a first attempt")
        assert run.stop() == 0
    clear(obstacle)
    server.shut_down()
    server.restart()
    with started(tmp_path, url, server.url) as run:
        wait_until_ready(run)
        assert (count(run, "late"), count(run, "done")) == (1, 1)
        assert [line["level"] for line in run.incidents(LATE)] == ["error"]
        assert run.stop() == 0
    with started(tmp_path, url, server.url) as run:
        wait_until_ready(run)
        assert count(run, "late") == 0


def test_a_replay_switches_after_the_rewrite(server: RedisServer, tmp_path: Path) -> None:
    shop = Shop(tmp_path, server.url)
    shop.publish(200)
    obstacle = obstruct(server)
    with shop.start_replay("--yes") as replay, server.client() as client:
        wait_until(lambda: "rewrites its append-only file" in replay.text(), READY_S, "the replay to wait")
        assert replay.process.poll() is None
        assert not client.exists("og:live")
        clear(obstacle)
        assert replay.process.wait(READY_S) == 0, replay.text()
        assert client.hlen("{og:live}:rewrites") == 0
    assert rewrites(server.url) >= 1
    shop.check()


@pytest.mark.parametrize(
    ("settings", "rights", "reason"),
    [
        ((), "-bgrewriteaof", "has no permissions to run the 'bgrewriteaof' command"),
        ((), "-info", "has no permissions to run the 'info' command"),
        (("--rename-command", "BGREWRITEAOF", ""), "", "unknown command"),
    ],
)
def test_a_missing_permission_is_logged_once(
    home: RedisHome, tmp_path: Path, url: str, settings: tuple[str, ...], rights: str, reason: str
) -> None:
    with RedisServer(home, *settings) as server, server.client() as client:
        client.execute_command("ACL", "SETUSER", "ours", "on", ">secret", "~*", "&*", "+@all", *rights.split())
        with started(tmp_path, url, server.url.replace("//", "//ours:secret@")) as run:
            wait_until_applied(client, append(url, event(2)))
            wait_until_ready(run)
            assert rewrites(server.url) == 0
            assert count(run, "refused") == 1
            (error,) = [line for line in run.incidents(run_error(run)) if line["level"] == "error"]
            assert reason in error["reason"]
            assert "+bgrewriteaof" in error["event"]


def run_error(run: Projector) -> str:
    (event,) = {
        line.split('"event": "')[1].split('"')[0]
        for line in run.text().splitlines()
        if "does not let us rewrite its append-only file" in line
    }
    return event


def test_every_master_of_a_cluster(home: RedisHome, tmp_path: Path, url: str, cluster_url: str) -> None:
    with RedisCluster.from_url(cluster_url) as client:
        masters = [f"redis://{node.host}:{node.port}" for node in client.get_primaries()]
    with started(tmp_path, url, cluster_url) as run:
        wait_until_ready(run)
        assert len(masters) == 3
        assert [master for master in masters if rewrites(master) == 0] == []
