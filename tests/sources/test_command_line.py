"""`projector source` and `projector up --source` as a user runs them."""

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from events.logs.open import open_log
from tests.integration.operating import OperatorApi
from tests.processes import Process, environment, projector
from tests.servers.process import free_port, wait_until
from tests.sources import expected
from tests.sources.mercur import SELLERS, TRANSITIONS, Mercur

START_S = 20.0


def source(*arguments: str, url: str, cwd: Path, code: int = 0, **settings: str) -> str:
    done = projector("source", *arguments, cwd=cwd, settings={"SOURCE_URL": url, **settings})
    assert done.returncode == code, done.stderr
    return done.stdout


def test_from_nothing_to_a_list_with_one_command(shop: Mercur, empty_url: str, tmp_path: Path) -> None:
    for name in ("order canceled", "another seller", "order moved to another group", "link dismissed"):
        group = shop.checkout()
        TRANSITIONS[name](shop, group, shop.groups[group][0])
    with Process("up", "--port", str(free_port()), "--source", empty_url, cwd=tmp_path) as up:
        wait_until(lambda: "\ncurl " in up.text(), START_S, "the curl line")
        line = re.search(r"^curl -H '(.*)' '(.*)\?limit=3'$", up.text(), re.M)
        assert line

        def get(url: str) -> dict[str, Any]:
            answer = subprocess.run(["curl", "-sS", "-H", line[1], url], capture_output=True, check=True)
            found: dict[str, Any] = json.loads(answer.stdout)
            return found

        def count() -> int:
            return int(get(line[2])["count"])

        def told() -> Any:
            return get(line[2].replace("order-groups", "projector/pipeline"))["source"]

        groups = {group for _, group in expected.orders(shop.connection)}
        wait_until(lambda: count() == len(groups), START_S, "all groups")
        assert source("check", url=empty_url, cwd=tmp_path).startswith("All equal: ")
        group = shop.checkout()
        wait_until(lambda: count() == len(groups) + 1, START_S, "a new group")
        wait_until(lambda: told() is not None and told()["problems"] == [], START_S, "the relay, for operators")
        found = json.loads(source("status", "--json", url=empty_url, cwd=tmp_path))
        assert (found["problems"], found["works"], found["notes"]) == ([], True, 0)
        assert found["backfill"] == {"running": False, "published": 10, "orders": 10}
        shop.sql("TRUNCATE order_group_order")
        assert "TRUNCATE" in source("status", url=empty_url, cwd=tmp_path)
        output = source("check", url=empty_url, cwd=tmp_path, code=1)
        assert "in the tables not there, in the list there" in output
        source("check", "--note", url=empty_url, cwd=tmp_path, code=1)
        wait_until(lambda: count() == 0, START_S, "an empty list")
        assert up.stop(timeout_s=15) == 0
    assert "projector source remove" in up.text()


def test_install_backfill_and_remove(shop: Mercur, empty_url: str, tmp_path: Path) -> None:
    shop.checkout()
    assert source("install", "--print", url=empty_url, cwd=tmp_path).startswith("BEGIN;")
    assert "nothing is installed" in source("status", "--interval", "0", url=empty_url, cwd=tmp_path)
    assert source("install", url=empty_url, cwd=tmp_path).startswith("Installed, with triggers on order, ")
    assert source("install", url=empty_url, cwd=tmp_path) == "Everything is installed already.\n"
    assert source("backfill", url=empty_url, cwd=tmp_path) == ""
    assert "no relay works" in source("status", "--interval", "0", url=empty_url, cwd=tmp_path)
    with Process("source", "run", cwd=tmp_path, SOURCE_URL=empty_url) as run:
        wait_until(lambda: "publishing" in run.text(), START_S, "the relay")
        assert source("backfill", url=empty_url, cwd=tmp_path) == "All of 2 orders are published.\n"
        assert run.stop() == 0
    refused = projector("source", "remove", cwd=tmp_path, settings={"SOURCE_URL": empty_url})
    assert (refused.returncode, refused.stderr) == (2, "projector: no terminal: pass --yes to confirm\n")
    assert source("remove", "--yes", url=empty_url, cwd=tmp_path).startswith("Removed: ")


def test_health_and_metrics(shop: Mercur, empty_url: str, tmp_path: Path) -> None:
    port = free_port()
    source("install", url=empty_url, cwd=tmp_path)
    with Process("source", "run", cwd=tmp_path, SOURCE_URL=empty_url, SOURCE_PORT=str(port)) as run:

        def answer(path: str) -> tuple[int, str]:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as found:
                    return found.status, found.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()
            except OSError:
                return 0, ""

        reason = "not all orders are published: run `projector source backfill`"
        wait_until(lambda: reason in answer("/health/ready")[1], START_S, "the reason")
        assert answer("/health/live") == (200, '{"status":"live"}')
        source("backfill", url=empty_url, cwd=tmp_path)
        wait_until(lambda: answer("/health/ready") == (200, '{"status":"ready"}'), START_S, "readiness")
        shop.checkout()
        wait_until(lambda: "order_groups_source_events_total 2.0" in answer("/metrics")[1], START_S, "two events")
        assert "order_groups_source_works 1.0" in answer("/metrics")[1]
        assert run.stop() == 0


def test_a_relay_tells_operators_what_waits(shop: Mercur, empty_url: str, tmp_path: Path, one_redis_url: str) -> None:
    """With the rights of docs/ops.md. Without REDIS_URL it needs no Redis."""
    operations = (Path(__file__).parents[2] / "docs" / "ops.md").read_text(encoding="utf-8")
    told = re.search(r"That of a relay.*?needs `(.*?)` on the key\s+`(.*?)`", operations, re.DOTALL)
    assert told
    source("install", url=empty_url, cwd=tmp_path)
    with Redis.from_url(one_redis_url) as client, OperatorApi(tmp_path, one_redis_url) as api:
        client.execute_command("ACL", "SETUSER", "relay", "reset", "on", ">secret", *told[1].split(), f"~{told[2]}")
        with Process("source", "run", cwd=tmp_path, SOURCE_URL=empty_url) as run:
            wait_until(lambda: "publishing" in run.text(), START_S, "the relay")
            assert run.stop() == 0
        assert api.pipeline()["source"] is None
        url = one_redis_url.replace("//", "//relay:secret@")
        with Process("source", "run", cwd=tmp_path, SOURCE_URL=empty_url, REDIS_URL=url) as run:
            wait_until(lambda: api.pipeline()["source"] is not None, START_S, "the state of the relay")
            found = api.pipeline()["source"]
            assert (found["mapping"], found["notes"], found["bulk_notes"]) == ("mercur2", 0, 0)
            assert found["problems"] == ["not all orders are published: run `projector source backfill`"]
            assert 0 <= found["age_s"] < START_S
            client.execute_command("ACL", "SETUSER", "relay", "-set")
            wait_until(lambda: "the console does not see this relay" in run.text(), START_S, "a warning")
            assert run.stop() == 0


def test_a_relay_publishes_to_kafka_with_the_group_as_key(
    shop: Mercur, empty_url: str, tmp_path: Path, kafka_topic: Callable[[int], str]
) -> None:
    url = kafka_topic(2)
    source("install", url=empty_url, cwd=tmp_path)
    groups = [shop.checkout() for _ in range(3)]
    with Process("source", "run", cwd=tmp_path, SOURCE_URL=empty_url, EVENT_LOG_URL=url), open_log(url, {}) as log:
        wait_until(lambda: sum(log.end().values()) == 6, START_S, "six events")
        reader = log.read(log.first())
        found: list[tuple[bytes | None, str]] = []
        while records := reader.poll(5.0, 100, log.end()):
            found += [(one.key, json.loads(one.value or b"")["data"]["id"]) for one in records]
        reader.close()
    assert sorted(found) == sorted((group.encode(), order) for group in groups for order in shop.groups[group])


class OnASmallDisk(Process):
    """Its files cannot grow beyond 200 kB."""

    prefix = ("prlimit", "--fsize=200000")


def test_a_full_disk_of_the_log_loses_nothing(shop: Mercur, empty_url: str, tmp_path: Path) -> None:
    source("install", url=empty_url, cwd=tmp_path)
    log = tmp_path / ".projector" / "orders.db"
    with OnASmallDisk("source", "run", cwd=tmp_path, SOURCE_URL=empty_url) as run:
        wait_until(lambda: "publishing" in run.text(), START_S, "the relay")
        for _ in range(150):
            shop.checkout(SELLERS)
        wait_until(lambda: "waiting" in run.text(), START_S, "the relay to wait")
        assert f"{log}: " in run.text()
        assert len(expected.told(log)) < 600
        assert run.stop() == 0
    with Process("source", "run", cwd=tmp_path, SOURCE_URL=empty_url):
        wanted = expected.only_fields(expected.orders(shop.connection))
        wait_until(lambda: expected.told(log) == wanted, START_S, "all orders")


def test_without_the_driver_the_extra_is_named(tmp_path: Path) -> None:
    program = "import sys; sys.modules['psycopg'] = None; from projector.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "source", "status"],
        cwd=tmp_path,
        env=environment(SOURCE_URL="postgresql://shop"),
        capture_output=True,
        text=True,
        check=False,
    )
    message = "projector: no driver for PostgreSQL here: pip install 'order-group-projector[postgres]'\n"
    assert (done.returncode, done.stderr) == (2, message)


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (("source", "status"), {}, "SOURCE_URL: not set"),
        (("source", "run"), {"SOURCE_URL": "mysql://x"}, "SOURCE_URL: expected postgresql://"),
        (("source", "install"), {"SOURCE_URL": "postgresql://127.0.0.1:1/x"}, "the shop's database: "),
        (("source", "install", "--print"), {"SOURCE_MAPPING": "shopify"}, "SOURCE_MAPPING: expected mercur2, plain"),
        (("up", "--demo", "--source", "postgresql://x"), {}, "up: expected --demo or --source, got both"),
    ],
)
def test_bad_input_is_one_line(
    arguments: tuple[str, ...], settings: dict[str, str], message: str, tmp_path: Path
) -> None:
    done = projector(*arguments, cwd=tmp_path, settings=settings)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"projector: {message}")
    assert len(done.stderr.splitlines()) == 1
