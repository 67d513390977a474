"""Projector and API follow the sentinels to a new master, after a kill and after a planned failover."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import oracle, readmodel
from tests.integration.test_way import marketplace
from tests.integration.watched import Projector, append
from tests.processes import Api, projector, wait_until_applied
from tests.servers.cluster import cluster_home
from tests.servers.process import wait_until
from tests.servers.redis import RedisHome
from tests.servers.sentinel import SentinelServer

EVENTS = marketplace(300)
PART = 200


@pytest.fixture
def home(cluster_server_home: RedisHome) -> RedisHome:
    """As for a cluster, it must be a binary."""
    assert cluster_home() == cluster_server_home
    return cluster_server_home


def listed(api: Api) -> list[dict[str, Any]]:
    """Returns the whole list by id; empty if the API does not answer."""
    answer = api.client.get("/admin/order-groups", params={"limit": "1000"})
    assert answer.status_code in (200, 503)
    groups: list[dict[str, Any]] = json.loads(answer.content)["order_groups"] if answer.status_code == 200 else []
    return sorted(groups, key=lambda group: str(group["id"]))


def test_a_failover_is_followed(home: RedisHome, tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/orders.db"
    with SentinelServer(home) as server:
        settings = {"EVENT_LOG_URL": url, "REDIS_URL": server.url}
        append(url)

        def check(ends: dict[str, int], sent: int) -> None:
            with server.servers[server.master()].client() as client:
                wait_until_applied(client, ends, 30)
                model = readmodel.read(client)
            readmodel.check(model, EVENTS[:sent])
            readmodel.check_accounting(model, sent)
            ids = sorted(oracle.groups(EVENTS[:sent]))
            wait_until(lambda: [group["id"] for group in listed(api)] == ids, 10, "the list")
            wait_until(lambda: api.client.get("/health/ready").status_code == 200, 10, "the API to be ready")
            wait_until(run.is_ready, 10, "the projector to be ready")

        with Projector(tmp_path, **settings) as run, Api(tmp_path, server.url) as api:
            check(append(url, *EVENTS[:PART]), PART)
            first = server.master()

            server.servers[first].kill()
            ends = append(url, *EVENTS[PART : 2 * PART])
            wait_until(lambda: server.master() != first, 30, "the sentinels to choose another one")
            check(ends, 2 * PART)
            assert run.metric("waiting_seconds", on="redis") == 0

            server.servers[first].restart()
            server.fail_over()
            assert server.master() == first
            check(append(url, *EVENTS[2 * PART : 3 * PART]), 3 * PART)
            refused = ("AWAY", "READONLY", "TIMEOUT")
            assert sum(run.metric("redis_refusals_total", refusal=refusal) for refusal in refused) >= 1
            status = projector("status", "--json", "--interval", "0", cwd=tmp_path, settings=settings)
            assert json.loads(status.stdout)["partitions"][0]["lag"] == 0
            assert (run.stop(), api.stop()) == (0, 0)


def test_an_unknown_service_is_waited_for(home: RedisHome, tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/orders.db"
    append(url)
    with SentinelServer(home) as server:
        other = server.url.replace("/mymaster", "/another")
        with Projector(tmp_path, EVENT_LOG_URL=url, REDIS_URL=other) as run:
            wait_until(lambda: bool(run.incidents("waiting")), 20, "the projector to say so")
            assert run.incidents("waiting")[0]["reason"] == "Redis does not answer: No master found for 'another'"
            assert run.stop() == 0
