"""The commands of the pages do what the pages say, typed as they stand there.

Only addresses and passwords are replaced. Where a page shows what is printed, it is compared without its numbers.
"""

import hashlib
import json
import re
import shlex
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import yaml

from events.logs.kafka.url import kafka_settings
from projector.readmodel.client.sentinels import sentinels
from projector.settings import load_settings
from tests import readmodel
from tests.documented import ROOT, here, run, running, shell, typed
from tests.integration.rebuilding import Shop, content
from tests.issuer import ec_key, issuing, jwk, signed
from tests.processes import SECRET, Api, Process, live, projector, token
from tests.servers.process import free_port, wait_until

EVENTS = 2000
START_S = 30.0


@pytest.fixture
def shop(tmp_path: Path, one_redis_url: str) -> Shop:
    return Shop(tmp_path, one_redis_url)


def shape(text: str) -> list[str]:
    """Returns the lines without numbers, digests, ids, and rates, which are shown after a second."""
    text = text.replace("[Y/n]: ", "[Y/n]: y\n").replace(": y\ny\n", ": y\n")
    text = re.sub(r", [\d,]+/s(, [\d,]+ s left)?", "", text)
    text = re.sub(r"\b[0-9a-f]{16}\b|\d{4}-\d\d-\d\dT[\d:+]+|\d[\d,.]*", "#", re.sub(r"\bog_\w+", "og", text))
    text = re.sub(r"─+", "─", re.sub(r"\b[KMG]iB\b|\b(events?|shard|worker)s?\b", "?", text))
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip() and not line.startswith("$ ")]
    return [line for i, line in enumerate(lines) if line not in lines[i - 1 : i]]


def test_a_rebuild_and_back(shop: Shop) -> None:
    shop.publish(EVENTS)
    with shop.run() as projecting:
        shop.wait()
        page = shell("rebuilding.md", "The one command", "console")
        assert shape(run(typed(page), shop.folder, "y\n", **shop.settings)) == shape(page)
        assert shop.states() == {0: "kept", 1: "live"}
        shop.publish(100)
        shop.wait()
        page = shell("rebuilding.md", "Rollback", "console")
        assert shape(run(typed(page), shop.folder, **shop.settings)) == shape(page)
        assert shop.states() == {0: "live", 1: "kept"}
        page = shell("rebuilding.md", "projector verify", "console")
        assert shape(run(typed(page), shop.folder, **shop.settings)) == shape(page)
        assert projecting.stop() == 0


def test_differences_are_shown(shop: Shop) -> None:
    shop.publish(EVENTS)
    with shop.run() as projecting:
        shop.wait()
        assert projecting.stop() == 0
    with shop.place.client() as client:
        rows = readmodel.prefixes(0, 1)[0] + "row"
        ordinal, row = min(client.hgetall(rows).items())
        client.hset(rows, ordinal, re.sub(rb'"id":"og_\w+"', b'"id":"other"', row, count=1))
    shop.replay("build", "--yes")
    found = shape(shop.replay("verify", fails=1).stdout)
    page = shape(shell("rebuilding.md", "Differences", "console"))
    assert [line for line in found if line in page] == page, found


@pytest.mark.thorough
def test_another_number_of_shards_and_a_replay_in_a_script(shop: Shop) -> None:
    shop.publish(EVENTS)
    run(shell("rebuilding.md", "In scripts"), shop.folder, **shop.settings)
    printed = [json.loads(line) for line in (shop.folder / "replay.jsonl").read_text().splitlines()]
    assert [one["step"] for one in printed] == ["plan", "build", "verify", "switch"]
    forth, back = shell("rebuilding.md", "Shards and Redis Cluster").splitlines()
    run(forth, shop.folder, "y\n", **shop.settings)
    assert shop.live() == (1, 16)
    run(back, shop.folder, **shop.settings)
    assert shop.live() == (0, 1)
    shop.check()


@pytest.mark.thorough
def test_an_export_into_kafka(shop: Shop, kafka_topic: Callable[[int], str]) -> None:
    shop.publish(EVENTS)
    for bad in (b"bad\n", b"worse\n"):
        projector("publish", "-", "--unchecked", cwd=shop.folder, stdin=bad, settings=shop.settings)
    page = shell("rebuilding.md", "Archiving", "console")
    url = kafka_topic(3)
    commands = typed(page).replace("kafka://localhost:9092/orders", shlex.quote(url))
    printed = run(commands, shop.folder, **shop.settings).replace(kafka_settings(url, {}).topic, "orders")
    assert shape(printed) == shape(page)


def test_redis_is_lost(shop: Shop) -> None:
    shop.publish(EVENTS)
    run(shell("backup.md", "Redis is lost"), shop.folder, **shop.settings)
    assert shop.states() == {0: "live"}
    shop.check()


@pytest.mark.thorough
def test_the_log_is_restored_to_an_older_state(shop: Shop) -> None:
    path = shop.folder / "orders.db"
    shop.publish(EVENTS)
    with closing(sqlite3.connect(path)) as log, closing(sqlite3.connect(shop.folder / "backup.db")) as backup:
        log.backup(backup)
    former = len(shop.events)
    shop.publish(300)
    with shop.run() as projecting:
        shop.wait()
        assert projecting.stop() == 0
    with closing(sqlite3.connect(path)) as log, closing(sqlite3.connect(shop.folder / "backup.db")) as backup:
        backup.backup(log)
    del shop.events[former:]
    shop.publish(400)
    stopped = projector("run", cwd=shop.folder, settings=shop.settings)
    assert (stopped.returncode, "log_diverged" in stopped.stderr) == (2, True)
    run(shell("backup.md", "The log is restored to an older state"), shop.folder, "y\n", **shop.settings)
    assert shop.states() == {0: "kept", 1: "live"}
    shop.check()


@pytest.mark.thorough
def test_the_log_is_lost(shop: Shop) -> None:
    shop.publish(EVENTS)
    projector("publish", "-", "--unchecked", cwd=shop.folder, stdin=b"broken\n", settings=shop.settings)
    shop.ends["orders/0"] += 1
    with shop.run() as projecting:
        shop.wait()
        before = content(shop.model())
        assert projecting.stop() == 0
    projector("export", "orders.jsonl", cwd=shop.folder, settings=shop.settings)
    for path in shop.folder.glob("orders.db*"):
        path.unlink()
    run(shell("backup.md", "The log is lost, and an export exists"), shop.folder, **shop.settings)
    assert shop.states() == {0: "kept", 1: "live"}
    assert content(shop.model())[:3] == before[:3]
    assert len(shop.model().parked) == 1


def test_the_first_page_and_an_event_that_is_broken(shop: Shop) -> None:
    shop.publish(EVENTS)
    with shop.run(), Api(shop.folder, shop.place.url) as api:
        shop.wait()
        page = shell("README.md", "In a minute", "console")
        asked = typed(page).replace("127.0.0.1:9000", f"127.0.0.1:{api.port}").replace("eyJhbGciOi...", token())
        shown, found = (
            json.JSONDecoder().raw_decode(text, text.index("{"))[0] for text in (page, run(asked, shop.folder))
        )
        assert [*found] == [*shown]
        assert [*found["order_groups"][0]] == [*shown["order_groups"][0]]
        assert (found["offset"], found["limit"]) == (0, 1)
        run(shell("console.md", "Pipeline, Parked, Replay"), shop.folder, **shop.settings)
        wait_until(lambda: len(shop.model().parked) == 1, START_S, "the parked event")


@pytest.mark.thorough
def test_the_first_generation_on_a_cluster(tmp_path: Path, cluster_url: str) -> None:
    projector("publish", "--sample", "500", cwd=tmp_path)
    script = shell("connections.md", "Redis Cluster")
    log = {"EVENT_LOG_URL": f"sqlite://{tmp_path}/.projector/orders.db"}
    with running(script, tmp_path, REDIS_URL=cluster_url, **log), redis.RedisCluster.from_url(cluster_url) as client:
        wait_until(lambda: bool(client.exists("og:live")), START_S, "the first generation")
        assert live(client) == (0, 16)


def assigned(script: str, folder: Path) -> dict[str, str]:
    """Returns the variables that a script sets."""
    before, after = (
        dict(line.split("=", 1) for line in run(f"set -a\n{text}\nenv", folder).splitlines()) for text in ("", script)
    )
    return {name: value for name, value in after.items() if before.get(name) != value and name != "_"}


def test_secured_connections_can_be_parsed(tmp_path: Path) -> None:
    found = assigned(shell("connections.md", "Kafka with TLS and SASL"), tmp_path)
    log = kafka_settings(found["EVENT_LOG_URL"], found)
    assert (log.servers, log.topic) == (("broker1:9093", "broker2:9093"), "orders")
    assert (log.tls, log.tls_ca, log.mechanism) == (True, "/etc/kafka/ca.pem", "SCRAM-SHA-512")
    assert (log.username, log.password) == ("order-groups", "...")
    found = assigned(shell("connections.md", "Redis Sentinel"), tmp_path)
    named = sentinels(str(load_settings(found).redis_url))
    assert named is not None
    assert (len(named.hosts), named.service) == (3, "mymaster")
    assert (named.target, named.sentinel) == ({"username": "user", "password": "password"}, {"password": "..."})


def test_the_keys_of_an_issuer(tmp_path: Path, one_redis_url: str) -> None:
    found = assigned(shell("credentials.md", "Keys of an issuer"), tmp_path)
    key = ec_key()
    with issuing(jwk(key, kid="1")) as keys, Api(tmp_path, one_redis_url, **{**found, "JWKS_URL": keys.url}) as api:
        for audience, status in ((found["JWT_AUDIENCE"], 200), ("another", 401)):
            bearer = {"Authorization": f"Bearer {signed(key, iss=found['JWT_ISSUER'], aud=audience)}"}
            assert api.client.get("/openapi.json", headers=bearer).status_code == status


def test_a_key_for_prometheus(tmp_path: Path, one_redis_url: str) -> None:
    script = here(shell("kubernetes.md", "What runs")) + "printf %s $KEY"
    digest, key = run(script, tmp_path).replace("-", "").split()
    assert digest == hashlib.sha256(key.encode()).hexdigest()
    with Api(tmp_path, one_redis_url, API_KEY_HASHES=digest) as api:
        bearer = {"Authorization": f"Bearer {key}"}
        assert api.client.get("/metrics", headers=bearer).status_code == 200


def test_the_plan_of_five_million_groups(tmp_path: Path) -> None:
    page = shell("sizing.md", "Sizing", "console")
    command, *shown = page.splitlines()
    assert [line.rstrip() for line in run(command.removeprefix("$ "), tmp_path).splitlines()] == shown


class Composed:
    """The services of docker-compose.yml, started without containers: their commands, with their settings."""

    def __init__(self, folder: Path, addresses: dict[str, str], variables: dict[str, str]) -> None:
        self._folder, self._addresses, self._variables = folder, addresses, variables
        self._services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]

    def settings(self, service: str) -> dict[str, str]:
        found = {name: self._value(str(value)) for name, value in self._services[service]["environment"].items()}
        return {name: value for name, value in found.items() if value}

    def _value(self, text: str) -> str:
        named = re.fullmatch(r"\$\{(\w+)(?::?-(.*)|:\?.*)?\}", text)
        text = self._variables.get(named[1], named[2] or "") if named else text
        return self._addresses.get(text, text)

    @contextmanager
    def up(self, *services: str) -> Iterator[None]:
        with ExitStack() as stack:
            for service in services:
                arguments = self._services[service]["command"]
                stack.enter_context(Process(*arguments, cwd=self._folder, **self.settings(service)))
            yield

    def inside(self, service: str, command: str) -> str:
        """Returns the command with the settings of the container."""
        settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in self.settings(service).items())
        return f"env {settings} {command}"


@pytest.mark.thorough
def test_docker_compose(tmp_path: Path, kafka_topic: Callable[[int], str], one_redis_url: str) -> None:
    lines = shell("deploying.md", "Docker Compose").splitlines()
    run(lines[0], tmp_path)
    secret = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines())
    assert re.fullmatch(r"[0-9a-f]{64}", secret["JWT_SECRET"])
    topic, ports = kafka_topic(2), {"9000": str(free_port()), "9001": str(free_port())}
    addresses = {"kafka://kafka:9092/orders": topic, "redis://redis:6379/0": one_redis_url, **ports}
    composed = Composed(tmp_path, addresses, {"JWT_SECRET": SECRET})
    with composed.up("projector", "api"):
        printed: dict[str, str] = {}
        for line in lines[1:]:
            if inner := re.fullmatch(r"docker compose exec (?:-T )?(\w+) (projector (\w+).*)", line):
                printed[inner[3]] = run(composed.inside(inner[1], inner[2]), tmp_path)
        assert [*printed] == ["publish", "status", "token"]
        status = run(composed.inside("projector", here(shell("kubernetes.md", "Install"))), tmp_path)
        assert "lag" in printed["status"]
        assert "lag" in status
        headers = {
            "Authorization": f"Bearer {printed['token'].strip()}",
            "X-Min-Position": printed["publish"].splitlines()[-1],
        }
        with httpx.Client(base_url=f"http://127.0.0.1:{ports['9000']}", headers=headers, timeout=START_S) as client:
            wait_until(lambda: client.get("/admin/order-groups").status_code != 503, START_S, "the events")
            answer: dict[str, Any] = client.get("/admin/order-groups?limit=0").json()
            assert answer["count"] > 100, answer
