"""The API while a real Redis refuses: 503 with the refusal in log and metric, never a 500 or a wrong answer."""

import json
import random
import re
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple, cast

import pytest
import redis

from tests.integration.client import Api, running
from tests.integration.naive import Request, answer
from tests.integration.queries import shown_as_json
from tests.integration.seed import go_live, make_groups, write
from tests.integration.test_errors import assert_unavailable
from tests.integration.test_refusals import CASES, Bench, Case, _another
from tests.integration.ways import force
from tests.servers.cluster import ClusterServer
from tests.servers.process import wait_until
from tests.servers.redis import RedisHome, RedisServer

LIST = "/admin/order-groups"
GROUPS = make_groups(random.Random(20261202), 200)
# The first read one sorted set: that of the list, or that of a filter. The others combine bitmaps, or sort, in keys.
READ_ONLY = {
    f"{LIST}?limit=20&offset=30": Request(limit=20, offset=30),
    f"{LIST}?status=pending": Request(any_of={"status": ["pending"]}),
}
WRITING = {
    f"{LIST}?status=pending&sales_channel_id=sc_web&order=total": Request(
        any_of={"status": ["pending"], "sales_channel_id": ["sc_web"]}, sort="total", descending=False
    ),
    f"{LIST}?q=cus_1&order=-total": Request(q="cus_1", sort="total"),
}
PAGES = {path: shown_as_json(answer(GROUPS, request)) for path, request in (READ_ONLY | WRITING).items()}
# What is answered although Redis refuses writes: the scripts of the others say that they write.
READS_GO_ON = {"READONLY", "MISCONF", "NOREPLICAS"}
# A server that has enough clients says so and hangs up: the second may be noticed first.
LIKE = {"CLIENTS": ("CLIENTS", "AWAY")}


class Server(NamedTuple):
    """The part of a Bench that its refusals use."""

    server: RedisServer
    client: "redis.Redis"


@pytest.fixture
def server(redis_home: RedisHome, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    # So few groups are answered by bitmaps, too.
    force(monkeypatch, FEW_MEMBERS=5, WALKED_GROUPS=0)
    with RedisServer(redis_home, "--enable-protected-configs", "yes") as server, server.client() as client:
        write(client, GROUPS)
        go_live(client)
        yield Server(server, client)


def counted(api: Api, refusal: str) -> float:
    name = "order_groups_api_redis_unavailable_total"
    found = re.search(rf'^{name}{{refusal="{refusal}"}} (\S+)$', api.get("/metrics").text, re.MULTILINE)
    assert found, f"no {refusal} in the metric"
    return float(found[1])


def is_answered(api: Api, path: str) -> bool:
    """Returns whether the answer is a correct 200; any other must be a 503."""
    response = api.get(path)
    if response.status_code == 200:
        assert json.loads(response.content, parse_float=Decimal) == PAGES[path]
        return True
    assert_unavailable(response)
    return False


def wait_until_answered(api: Api) -> None:
    """Waits until all lists are answered again."""
    wait_until(lambda: all(is_answered(api, path) for path in PAGES), 10, "all lists")


# A key of another type is a fault of ours to the API, which tells it from what may pass.
MEANT = [case for case in CASES if case.refusal != "OTHER"]


@pytest.mark.parametrize("case", MEANT, ids=[case.refusal for case in MEANT])
def test_a_refusal_of_redis_is_a_503_with_its_name(
    server: Server, case: Case, capfd: pytest.CaptureFixture[str]
) -> None:
    # Long, so that on a busy machine nothing else is a time-out.
    wait_ms = 300 if case.refusal == "TIMEOUT" else 5000
    with running(server.server.url, redis_wait_ms=wait_ms, request_timeout_ms=20_000) as api:
        wait_until_answered(api)
        with case.begin(cast(Bench, server)):
            answered = {path for path in PAGES if is_answered(api, path)}
        wait_until_answered(api)
        if case.refusal == "OOM":
            # What the scripts write is gone when they end, so a full Redis lets them.
            assert answered == PAGES.keys()
            return
        if case.refusal in READS_GO_ON:
            assert answered == READ_ONLY.keys()
        assert WRITING.keys().isdisjoint(answered)
        names = LIKE.get(case.refusal, (case.refusal,))
        assert sum(counted(api, name) for name in names) >= len(PAGES) - len(answered)
    log = capfd.readouterr()
    assert any(f"refusal={name}" in log.out + log.err for name in names)


@pytest.mark.parametrize("right", ["bitop", "bitfield", "del"])
def test_a_missing_permission_of_a_script_is_logged(
    server: Server, right: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Redis reports it by text, from within the script."""
    client: Any = server.client
    client.execute_command("ACL", "SETUSER", "api", "reset", "on", ">secret", "~*", "&*", "+@all")
    with running(server.server.url.replace("redis://", "redis://api:secret@")) as api:
        wait_until_answered(api)
        client.execute_command("ACL", "SETUSER", "api", f"-{right}")
        answered = [is_answered(api, path) for path in PAGES]
        assert not all(answered)
        assert counted(api, "NOPERM") == answered.count(False)
        client.execute_command("ACL", "SETUSER", "api", f"+{right}")
        wait_until_answered(api)
    client.execute_command("ACL", "DELUSER", "api")


def test_an_unknown_refusal_is_a_503_with_its_text(redis_home: RedisHome, capfd: pytest.CaptureFixture[str]) -> None:
    """A command that is disabled in Redis."""
    with RedisServer(redis_home, "--rename-command", "ZRANGE", "") as server, server.client() as client:
        write(client, GROUPS)
        go_live(client)
        with running(server.url) as api:
            assert not is_answered(api, next(iter(READ_ONLY)))
            assert counted(api, "OTHER") == 1
    log = capfd.readouterr()
    assert re.search(r"reason='Redis: OTHER: Unknown (Redis )?command called from script", log.out + log.err)


def test_redis_loads_its_data(cluster_server_home: RedisHome) -> None:
    """Each key takes a tenth of a millisecond to load, to simulate many more keys."""
    slow = ("--key-load-delay", "100", "--appendfsync", "always")
    with RedisServer(cluster_server_home, *slow) as server, server.client() as client:
        write(client, GROUPS)
        go_live(client)
        # It looks who has a question after every 1024 commands that it has loaded.
        with client.pipeline(transaction=False) as pipeline:
            for number in range(10_000):
                pipeline.set(f"pad:{number}", number)
            pipeline.execute()
        with running(server.url) as api:
            wait_until_answered(api)
            server.kill()
            is_up = threading.Event()

            def ask() -> None:
                while not is_up.is_set():
                    is_answered(api, next(iter(PAGES)))

            asking = threading.Thread(target=ask)
            asking.start()
            # In the thread that stays: a server of the tests ends with the one that started it.
            server.restart()
            is_up.set()
            asking.join()
            wait_until_answered(api)
            assert counted(api, "LOADING") > 0


def test_a_cluster_that_is_down(cluster_server_home: RedisHome) -> None:
    with ClusterServer(cluster_server_home) as server, server.client() as client:
        write(client, GROUPS)
        go_live(client)
        with running(server.url, redis_wait_ms=300) as api, server.node_clients() as clients:
            wait_until_answered(api)
            slot = client.keyslot("og:{0.0}:meta")
            owner: Any = clients[server.owner(slot)]
            given_up = _another(server, slot)
            owner.execute_command("CLUSTER DELSLOTS", given_up)
            assert not any(is_answered(api, path) for path in PAGES)
            assert counted(api, "CLUSTERDOWN") >= len(PAGES)
            owner.execute_command("CLUSTER ADDSLOTS", given_up)
            wait_until_answered(api)
