"""`projector replay` as users run it, on real servers: all steps at once, each step alone, and refusals."""

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis

from events.logs.log import Entry
from projector.verify.sample import Sample
from tests import readmodel, stored
from tests.chaos.stage import ARMED
from tests.integration.rebuilding import Shop, content
from tests.processes import environment
from tests.servers.cluster import Place
from tests.servers.process import wait_until
from tests.thorough import thorough

EVENTS = 3000


@pytest.fixture
def shop(tmp_path: Path, one_redis_url: str) -> Shop:
    return Shop(tmp_path, one_redis_url)


def test_into_an_empty_redis(shop: Shop) -> None:
    shop.publish(EVENTS)
    results = shop.steps("--yes")
    assert list(results) == ["plan", "build", "verify", "switch"]
    assert results["plan"]["live"] is None
    assert results["plan"]["events"] == EVENTS
    assert results["verify"]["differences"] == 0
    assert shop.states() == {0: "live"}
    shop.check()
    with shop.run():
        shop.publish(100)
        shop.wait()
        shop.check()


def test_beside_a_live_one_and_back(shop: Shop) -> None:
    shop.publish(EVENTS)
    with shop.run() as run:
        shop.wait()
        first = content(shop.model())
        results = shop.steps("--yes")
        assert results["verify"]["documents"][0] == results["verify"]["documents"][1]
        assert shop.states() == {0: "kept", 1: "live"}
        assert content(shop.model()) == first
        shop.publish(500)
        shop.wait()
        shop.check()
        shop.replay("rollback")
        assert shop.states() == {0: "live", 1: "kept"}
        shop.publish(500)
        shop.wait()
        shop.check()
        shop.replay("drop", "1")
        assert shop.states() == {0: "live"}
        with shop.place.client() as client:
            assert not list(client.scan_iter(match="og:{1.*"))
        assert run.process.poll() is None
        assert run.stop() == 0


def test_the_steps_one_by_one(shop: Shop) -> None:
    """Each step names the step that must come first, and does no more than its own."""
    shop.publish(EVENTS)
    with shop.run():
        shop.wait()
        assert "replay build" in shop.replay("switch", fails=2).stderr
        assert "replay build" in shop.replay("verify", fails=2).stderr
        assert json.loads(shop.replay("plan", "--json").stdout)["number"] == 1
        assert shop.states() == {0: "live"}
        shop.replay("build", "--yes")
        assert shop.states() == {0: "live", 1: "building"}
        assert "replay verify" in shop.replay("switch", fails=2).stderr
        assert "above 0 and up to 1, got 0.0" in shop.replay("verify", "--sample", "0", fails=2).stderr
        of_some, of_all = (
            json.loads(shop.replay("verify", "--json", *share).stdout) for share in (("--sample", "0.2"), ())
        )
        assert (of_some["sample"], of_all["sample"]) == (0.2, 1)
        assert 0 < of_some["groups"] < of_all["groups"]
        assert "expected a larger one" in shop.replay("verify", "--sample", "1e-18", fails=2).stderr
        assert shop.states() == {0: "live", 1: "verified"}
        # What is built after the comparison has not been compared.
        shop.replay("build", "--yes")
        assert shop.states() == {0: "live", 1: "building"}
        assert "replay verify" in shop.replay("switch", fails=2).stderr
        shop.replay("verify")
        shop.publish(300)
        shop.replay("switch")
        assert shop.states() == {0: "kept", 1: "live"}
        shop.wait()
        shop.check()
        assert "is live" in shop.replay("drop", "1", fails=2).stderr
        assert "there are: 0, 1" in shop.replay("drop", "7", fails=2).stderr
        # A number is never reused.
        shop.replay("drop", "0")
        assert json.loads(shop.replay("plan", "--json").stdout)["number"] == 2


def test_without_a_terminal_it_needs_yes(shop: Shop) -> None:
    shop.publish(10)
    assert "--yes" in shop.replay(fails=2).stderr
    assert shop.states() == {}
    assert "expected after build" in shop.replay("--yes", "build", fails=2).stderr


@pytest.mark.parametrize("url", ["one_redis_url", *thorough("cluster_url")])
def test_the_first_generation_has_as_many_shards_as_asked(
    tmp_path: Path, request: pytest.FixtureRequest, url: str
) -> None:
    """By the setting, which later processes with another number do not change."""
    shop = Shop(tmp_path, Place(request.getfixturevalue(url), is_cluster=url == "cluster_url"))
    shop.settings["SHARDS"] = "5"
    shop.publish(EVENTS)
    with shop.run("--shards", "7"):
        shop.wait()
    assert shop.live() == (0, 7)
    shop.check()
    shop.publish(100)
    with shop.run():
        shop.wait()
        assert shop.live() == (0, 7)
        shop.check()
        with shop.place.client() as client:
            client.flushall()
        shop.wait()
        assert shop.live() == (0, 7)
        shop.check()
    with shop.place.client() as client:
        client.flushall()
    with shop.run():
        shop.wait()
    assert shop.live() == (0, 5)


@pytest.mark.thorough
def test_another_number_of_shards(tmp_path: Path, any_redis: Place) -> None:
    """To more shards and back to one, during writes."""
    shards = 16 if any_redis.is_cluster else 3
    shop = Shop(tmp_path, any_redis)
    shop.publish(EVENTS)
    with shop.run():
        shop.wait()
        shop.replay("--yes", "--shards", str(shards))
        assert shop.live() == (1, shards)
        shop.publish(500)
        shop.wait()
        shop.check()
        assert shop.steps("--yes", "--shards", "1")["verify"]["differences"] == 0
        shop.publish(500)
        shop.wait()
        shop.check()
        shop.replay("rollback")
        assert shop.live() == (1, shards)
        shop.publish(10)
        shop.wait()
        shop.check()


def test_several_workers(tmp_path: Path, one_redis_url: str, kafka_topic: Callable[[int], str]) -> None:
    shop = Shop(tmp_path, one_redis_url, kafka_topic(4))
    shop.publish(EVENTS)
    results = shop.steps("--yes", "--workers", "3")
    assert results["plan"]["workers"] == 3
    shop.check()
    with shop.run():
        shop.publish(200)
        shop.wait()
        shop.check()


def test_poison_stops_a_replay(shop: Shop) -> None:
    """The error names position and reason, and nothing new is live. With --park the replay continues."""
    shop.publish(EVENTS)
    shop.append([Entry(b"og_x", b'{"specversion": "1.0", "id": 7}', ())])
    shop.publish(100)
    with shop.run():
        shop.wait()
        model = shop.model()
        failed = shop.replay("--yes", fails=2)
        assert f"orders/0@{EVENTS}: " in failed.stderr
        assert "--park" in failed.stderr
        assert shop.states() == {0: "live", 1: "building"}
        shop.replay("--yes", "--park")
        assert shop.states() == {0: "kept", 1: "live"}
        assert content(shop.model()) == content(model)
        readmodel.check_accounting(shop.model(), EVENTS + 101)


def test_differences_are_listed_and_need_to_be_accepted(shop: Shop) -> None:
    shop.publish(EVENTS)
    with shop.run():
        shop.wait()
        with shop.place.client() as client:
            group_id = next(one for one in shop.model().documents if one not in Sample(0.5))
            member = readmodel.member_of(client, group_id)
            row = client.hget(readmodel.PREFIX + "row", member)
            client.hset(readmodel.PREFIX + "row", member, row[: stored.HEAD_BYTES] + b'{"id":"other"}')
        failed = shop.replay("--yes", fails=2)
        assert group_id in failed.stdout
        assert "--accept-differences" in failed.stderr
        assert shop.states() == {0: "live", 1: "verified"}
        assert shop.replay("verify", fails=1)
        # A sample that misses the difference does not clear it.
        shop.replay("verify", "--sample", "0.5")
        assert "--accept-differences" in shop.replay("switch", fails=2).stderr
        shop.replay("switch", "--accept-differences")
        shop.wait()
        shop.check()


def test_a_second_replay_is_refused(shop: Shop) -> None:
    shop.publish(20_000)
    with shop.start_replay("--yes") as first:
        with shop.place.client() as client:
            wait_until(lambda: client.exists("{og:live}:replay") == 1, 20, "the first replay")
        failed = shop.replay("drop", "0", fails=2)
        assert f"another replay is running: projector replay, process {first.process.pid} " in failed.stderr
        assert first.process.wait(60) == 0, first.text()
    shop.check()


def test_memory_that_does_not_suffice(shop: Shop) -> None:
    shop.publish(EVENTS)

    def all_but_the_time(client: Any) -> dict[bytes, object]:
        """Without the time of the log's end, which the projector writes every second."""
        return {key: value for key, value in dump(client).items() if not key.endswith(b":end_at")}

    with shop.run(), shop.place.client() as client:
        shop.wait()
        before = all_but_the_time(client)
        client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + 1024**2)
        try:
            failed = shop.replay("--yes", fails=2)
            assert "memory" in failed.stderr
            assert "--force" in failed.stderr
            assert all_but_the_time(client) == before
        finally:
            client.config_set("maxmemory", 0)
        assert shop.states() == {0: "live"}


def dump(client: "redis.Redis") -> dict[bytes, Any]:
    """All keys but those that a replay, or an idle projector, keeps writing or forgets."""
    kept: dict[bytes, Any] = {}
    for key in client.scan_iter():
        if key not in (b"{og:live}:replay", b"{og:live}:sizes") and not key.endswith(b":end"):
            # DUMP of a hash depends on the order of its buckets, which a read may change.
            kept[key] = client.hgetall(key) if client.type(key) == b"hash" else client.dump(key)
    return kept


@pytest.mark.thorough
def test_a_full_redis_can_be_given_room(shop: Shop) -> None:
    """Dropping a generation frees memory, so it must not need any."""
    shop.publish(EVENTS)
    shop.replay("--yes")
    shop.replay("--yes")
    with shop.place.client() as client:
        client.config_set("maxmemory", 1)
        try:
            shop.replay("drop", "0")
        finally:
            client.config_set("maxmemory", 0)
    assert shop.states() == {1: "live"}


def test_rollback_switches_to_the_previous_generation(shop: Shop) -> None:
    shop.publish(EVENTS)
    for _ in range(3):
        shop.replay("--yes")
    assert shop.replay("rollback").stdout.startswith("Generation 1 is live. Generation 2 is kept")
    assert shop.replay("rollback").stdout.startswith("Generation 2 is live. Generation 1 is kept")
    assert shop.replay("rollback", "0").stdout.startswith("Generation 0 is live. Generation 2 is kept")
    shop.check()


@pytest.mark.thorough
def test_rollback_does_not_depend_on_the_clocks_of_hosts(shop: Shop) -> None:
    """Generation 1 went live from a host whose clock was years ahead: it wrote that of itself and of generation 0."""
    shop.publish(EVENTS)
    shop.replay("--yes")
    shop.replay("--yes")
    with shop.place.client() as client:
        for number, time in enumerate(("2099-01-01T00:00:00+00:00", "2099-01-01T00:00:00.000002+00:00")):
            entry = json.loads(client.hget("{og:live}:generations", str(number)))
            assert entry["live_at"]
            client.hset("{og:live}:generations", str(number), json.dumps({**entry, "live_at": time}))
    shop.replay("--yes")
    assert shop.replay("rollback").stdout.startswith("Generation 1 is live. Generation 2 is kept")
    assert shop.replay("rollback").stdout.startswith("Generation 2 is live. Generation 1 is kept")
    shop.check()


@pytest.mark.thorough
def test_workers_that_have_to_wait(shop: Shop) -> None:
    """Their warnings are not read as positions."""
    shop.publish(40_000)
    with shop.start_replay("build", "--yes") as build, shop.place.client() as client:
        wait_until(lambda: shop.groups(0) > 0, 30, "the first groups")
        client.client_pause(2500)
        assert build.process.wait(60) == 0, build.text()
    assert "Exception" not in build.text()
    assert shop.states() == {0: "building"}


@pytest.mark.thorough
def test_redis_loses_everything_in_a_build(shop: Shop) -> None:
    """The build fails with a reason, and the next one starts from the beginning."""
    shop.publish(40_000)
    with shop.start_replay("build", "--yes") as build, shop.place.client() as client:
        wait_until(lambda: shop.groups(0) > 0, 30, "the first groups")
        client.flushall()
        assert build.process.wait(60) == 2, build.text()
    # Either the builder or the renewal of the lease finds it first.
    errors = ("Redis has lost generation 0", "this replay has lost its lease")
    assert any(one in build.text() for one in errors), build.text()
    shop.replay("--yes")
    shop.check()


def test_a_verified_generation_whose_log_has_lost_what_it_lacks(shop: Shop) -> None:
    """Lost between build and switch: the generation would lack those events for ever."""
    shop.publish(EVENTS)
    with shop.run():
        shop.wait()
        shop.replay("build", "--yes")
        shop.replay("verify")
        shop.publish(EVENTS)
        shop.wait()
    with closing(sqlite3.connect(shop.folder / "orders.db")) as log, log:
        log.execute('DELETE FROM log WHERE "offset" < ?', (EVENTS + 500,))
    failed = shop.replay("switch", fails=2)
    assert f"orders/0@{EVENTS}, but the log begins at {EVENTS + 500}" in failed.stderr
    assert shop.states() == {0: "live", 1: "verified"}
    shop.check()


def test_a_verified_generation_whose_log_is_another(shop: Shop) -> None:
    shop.publish(EVENTS)
    shop.replay("build", "--yes")
    shop.replay("verify")
    for file in shop.folder.glob("orders.db*"):
        file.unlink()
    shop.publish(2 * EVENTS)
    assert "another log" in shop.replay("switch", fails=2).stderr
    assert shop.states() == {0: "verified"}


@pytest.mark.thorough
@pytest.mark.timeout(240)
@pytest.mark.parametrize("step", ["verify", "rollback", "drop"])
def test_a_step_can_be_stopped(shop: Shop, step: str) -> None:
    shop.publish(40_000)
    shop.replay("--yes")
    shop.replay("build", "--yes")
    command = {"verify": ("verify",), "rollback": ("rollback", "0"), "drop": ("drop", "1")}[step]
    if step == "rollback":
        shop.replay("verify")
        shop.replay("switch")
        shop.publish(40_000)
    with shop.start_replay(*command) as replay, shop.place.client() as client:
        wait_until(lambda: client.exists("{og:live}:replay") == 1, 20, "the replay")
        assert replay.stop(signal.SIGINT, timeout_s=20) == 130, replay.text()
    shop.replay(*command)
    assert "live" in shop.states().values()


def test_nothing_is_imported_from_where_it_is_called(shop: Shop) -> None:
    shop.publish(10)
    (shop.folder / "redis.py").write_text('raise SystemExit("not ours")')
    done = subprocess.run(
        [str(Path(sys.executable).with_name("projector")), "replay", "--yes"],
        cwd=shop.folder,
        env=environment(**shop.settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_lease_that_has_expired_is_lost(shop: Shop) -> None:
    """A switch that was suspended for long must not make a generation live that may be gone."""
    shop.publish(EVENTS)
    shop.replay("--yes")
    shop.replay("build", "--yes")
    shop.replay("verify")
    armed = {"PYTHONPATH": ARMED, "FAIL_AT": "pointer:before", "FAIL_HOW": "stop"}
    suspended = subprocess.Popen(
        [sys.executable, "-m", "projector", "replay", "switch"],
        cwd=shop.folder,
        env=environment(**shop.settings, **armed),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        wait_until(lambda: state_of(suspended.pid) == "T", 20, "the switch to be suspended")
        shop.replay("drop", "1")
        suspended.send_signal(signal.SIGCONT)
        _, errors = suspended.communicate(timeout=30)
    finally:
        suspended.kill()
    assert suspended.returncode == 2, errors
    assert shop.states() == {0: "live"}
    shop.check()


def state_of(pid: int) -> str:
    """Returns the state that `ps` shows: T for a suspended process."""
    return subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout[
        :1
    ]
