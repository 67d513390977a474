"""What an operator reads where Redis or Kafka cannot be reached: the host, what failed, and that it is waited for."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis import Redis

from tests.integration.watched import Projector, append
from tests.poison import event
from tests.processes import Api, projector, wait_until_applied
from tests.servers.kafka import KafkaHome, KafkaServer
from tests.servers.process import wait_until
from tests.servers.redis import RedisHome, RedisServer
from tests.servers.tls import Certificate, Terminator, self_signed

UNKNOWN_HOST = "cannot resolve the host name no.invalid: "
UNKNOWN_AUTHORITY = "certificate verify failed: self"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("tls"), "server")


@pytest.fixture(scope="module")
def secure_kafka(kafka_server_home: KafkaHome, certificate: Certificate) -> Iterator[str]:
    """`host:port` of a broker with TLS."""
    with KafkaServer(kafka_server_home, certificate=certificate) as server:
        yield server.bootstrap


@pytest.fixture
def another(tmp_path: Path) -> Certificate:
    """Of an authority that has signed nothing here."""
    return self_signed(tmp_path, "another")


def reason_of(run: Projector, on: str) -> str:
    """Returns the reason that the log has, once the health port has it as well."""
    wait_until(lambda: bool(run.incidents("waiting")), 15, "the line of the log")
    (line,) = run.incidents("waiting")
    assert line["level"] == "warning"
    wait_until(lambda: run.why_not_ready()[:1] == [f"waiting for {on}: {line['reason']}"], 10, "the same reason")
    return str(line["reason"])


def test_an_unknown_authority_of_kafka_is_named_and_may_be_replaced(
    secure_kafka: str, certificate: Certificate, another: Certificate, one_redis_url: str, tmp_path: Path
) -> None:
    trusted = another.certificate
    url = f"kafka://{secure_kafka}/orders?tls_ca={trusted}&partitions=1"
    done = projector("publish", "--sample", "1", cwd=tmp_path, settings={"EVENT_LOG_URL": url})
    assert_refused(done, secure_kafka, UNKNOWN_AUTHORITY, f"trusted are the authorities of {trusted}")
    with (
        Projector(tmp_path, EVENT_LOG_URL=url, REDIS_URL=one_redis_url) as run,
        Redis.from_url(one_redis_url) as client,
    ):
        reason = reason_of(run, "log")
        assert secure_kafka in reason
        assert UNKNOWN_AUTHORITY in reason
        shutil.copy(certificate.certificate, trusted)
        wait_until(run.is_ready, 20, "ready")
        (resumed,) = run.incidents("resumed")
        assert UNKNOWN_AUTHORITY in resumed["last_reason"]
        wait_until_applied(client, append(url, event(1)))
        assert run.stop() == 0


def test_an_unknown_authority_of_redis_is_named_and_may_be_replaced(
    one_redis_url: str, certificate: Certificate, another: Certificate, tmp_path: Path
) -> None:
    log = f"sqlite://{tmp_path}/orders.db"
    append(log, event(1))
    with Terminator(certificate, urlsplit(one_redis_url).port or 6379) as secure:
        address = f"127.0.0.1:{secure.port}"
        url = f"rediss://{address}?ssl_ca_certs={another.certificate}"
        for command in ("status", "list"):
            done = projector(command, cwd=tmp_path, settings={"EVENT_LOG_URL": log, "REDIS_URL": url})
            assert_refused(done, address, UNKNOWN_AUTHORITY)
        with (
            Projector(tmp_path, EVENT_LOG_URL=log, REDIS_URL=url) as run,
            Api(tmp_path, url, LOG_FORMAT="json", ACCESS_LOG="off") as api,
        ):
            assert UNKNOWN_AUTHORITY in reason_of(run, "redis")
            assert api.client.get("/health/ready").status_code == 503
            assert UNKNOWN_AUTHORITY in lines_of(api, "not ready")[0]["reason"]
            secure.present(another)
            wait_until(run.is_ready, 20, "the projector to be ready")
            api.wait_until_ready()
            assert UNKNOWN_AUTHORITY in lines_of(api, "ready")[0]["reason"]
            assert run.stop() == 0


@pytest.mark.parametrize(("on", "setting"), [("redis", "REDIS_URL"), ("log", "EVENT_LOG_URL")])
def test_an_unknown_host_is_named_and_waited_for(on: str, setting: str, one_redis_url: str, tmp_path: Path) -> None:
    unknown = {"REDIS_URL": "redis://no.invalid:6379/0", "EVENT_LOG_URL": "kafka://no.invalid:9092/orders"}
    known = {"REDIS_URL": one_redis_url, "EVENT_LOG_URL": f"sqlite://{tmp_path}/orders.db"}
    with Projector(tmp_path, **{**known, setting: unknown[setting]}) as run:
        assert UNKNOWN_HOST in reason_of(run, on)
        assert run.stop() == 0


def test_status_names_an_unknown_host_of_kafka(one_redis_url: str, tmp_path: Path) -> None:
    settings = {"REDIS_URL": one_redis_url, "EVENT_LOG_URL": "kafka://no.invalid:9092,also.invalid/orders"}
    done = projector("status", cwd=tmp_path, settings=settings)
    assert_refused(done, "kafka://no.invalid:9092,also.invalid:9092/orders", UNKNOWN_HOST, "host name also.invalid: ")


def test_an_api_with_a_wrong_password_says_so_until_it_is_right(redis_home: RedisHome, tmp_path: Path) -> None:
    with RedisServer(redis_home) as server, server.client() as client:
        client.config_set("requirepass", "right")
        wrong = server.url.replace("redis://", "redis://:wrong@")
        with Api(tmp_path, wrong, LOG_FORMAT="json", ACCESS_LOG="off") as api:
            # Before anybody asks.
            wait_until(lambda: bool(lines_of(api, "text for q not read")), 10, "the first line")
            ready, listed = api.client.get("/health/ready"), api.client.get("/admin/order-groups")
            for answer in (ready, listed):
                assert (answer.status_code, "WRONGPASS" in answer.text) == (503, False)
            (not_ready,), (unavailable,) = lines_of(api, "not ready"), lines_of(api, "unavailable")
            for line in (lines_of(api, "text for q not read")[0], not_ready, unavailable):
                assert line["level"] == "warning"
                assert "WRONGPASS invalid username-password pair" in (line.get("reason") or line["error"])
            assert unavailable["refusal"] == "NOAUTH"
            client.auth("right")
            client.config_set("requirepass", "wrong")
            wait_until(lambda: api.client.get("/admin/order-groups").status_code == 200, 10, "a list")
            wait_until(lambda: bool(lines_of(api, "available again")), 20, "the end of the incident")
            (again,) = lines_of(api, "available again")
            assert again["requests"] >= 1
            assert again["lasted_s"] >= 0
            assert "WRONGPASS" in again["last_reason"]


def assert_refused(done: Any, *parts: str) -> None:
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in " ".join(done.stderr.split())


def lines_of(api: Api, event: str) -> list[dict[str, Any]]:
    """Returns the lines of the log with that event."""
    whole = api.text().rpartition("\n")[0]
    lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]
