"""`redis-cli --cluster` moves slots of a Redis Cluster, while events are published and lists are requested."""

import json
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests import readmodel
from tests.chaos.survived import survived
from tests.integration.test_way import marketplace
from tests.integration.watched import Projector, append
from tests.processes import Api, projector, wait_until_applied
from tests.servers.cluster import ClusterServer
from tests.servers.process import wait_until
from tests.servers.redis import RedisHome, RedisServer

# `make chaos` publishes 1000 per second.
EVENTS_PER_S = int(os.environ.get("CHAOS_RESHARD_EVENTS_S", 200))
SHARDS = 8
# Groups that no later event changes: lists of only these must never change.
SETTLED = 300
BURST_S = 0.05
RESHARD_S = 300.0
LAG_S = 60.0
LISTS: tuple[dict[str, object], ...] = (
    {"limit": 50},
    {"limit": 20, "offset": 150, "order": "total"},
    {"limit": 100, "status": "pending", "order": "-updated_at"},
    {"limit": 1000, "fields": "id,total,orders.id"},
    {"q": "og_", "limit": 10},
)


def all_of_one_master(server: ClusterServer) -> None:
    before = server.slots(0)
    options = ("--cluster-from", server.id(0), "--cluster-to", server.id(1), "--cluster-slots", str(before))
    redis_cli(server, "reshard", *options, "--cluster-yes")
    assert before > 5000
    assert server.slots(0) == 0


def two_masters_more(server: ClusterServer) -> None:
    redis_cli(server, "rebalance", "--cluster-use-empty-masters")
    assert min(server.slots(3), server.slots(4)) > 3000


class Case(NamedTuple):
    name: str
    spare: int
    move: Callable[[ClusterServer], None]


CASES = [
    Case("a reshard of all slots of one master", 0, all_of_one_master),
    Case("a scale-out by two masters", 2, two_masters_more),
]
# `make test` runs one of them.
if "CHAOS_RESHARD_EVENTS_S" not in os.environ:
    del CASES[1:]


@pytest.mark.thorough
@pytest.mark.timeout(RESHARD_S + 120)
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_nothing_is_lost_and_no_list_is_wrong(cluster_server_home: RedisHome, tmp_path: Path, case: Case) -> None:
    url = f"sqlite://{tmp_path}/orders.db"
    events = marketplace(SETTLED)
    until = max(event["data"].get("created_at", "") for event in events)
    with ClusterServer(cluster_server_home, spare=case.spare) as server, server.client() as client:
        store = Store(Nodes(server.url))
        store.generation(SHARDS)
        store.nodes.close()
        settings = {"EVENT_LOG_URL": url, "REDIS_URL": server.url}
        ends = append(url, *events)
        with Projector(tmp_path, **settings) as run, Api(tmp_path, server.url) as api:
            wait_until_applied(client, ends, LAG_S)
            api.wait_until_ready()
            lists = Lists(api, until)
            assert json.loads(lists.expected[0])["count"] == SETTLED
            with Load(url, ends) as load, lists:
                case.move(server)
                load.stop()
                wait_until_applied(client, load.ends, LAG_S)
            assert run.process.poll() is None, run.text()
            met = [run.metric("redis_refusals_total", refusal=refusal) for refusal in ("TRYAGAIN", "ASK", "MOVED")]
            assert sum(met) > 0, "nothing was moved under its hands"
            lists.check()
            sent = [*events, *load.sent]
            wait_until(lambda: all(map(has_loaded, server.nodes)), LAG_S, "no node to load")
            with server.client() as fresh:
                model = readmodel.read(fresh, shards=SHARDS)
            readmodel.check(model, sent)
            readmodel.check_accounting(model, len(sent))
            assert run.stop() == 0
        verified = projector("verify", cwd=tmp_path, settings=settings)
        assert verified.returncode == 0, verified.stdout + verified.stderr
    print(f"{case.name}: {len(sent)} events, lists {dict(lists.statuses)}")
    survived(case.name, 1, len(sent))


def has_loaded(node: RedisServer) -> bool:
    """A master that has lost its last slot becomes a replica: it loads a copy, and refuses to be read meanwhile."""
    with node.client() as client:
        found: Any = client.info()
        return bool(found["loading"] == 0 and found.get("master_link_status", "up") == "up")


def redis_cli(server: ClusterServer, command: str, *options: str) -> None:
    where = server.url.removeprefix("redis://")
    done = subprocess.run(
        ["redis-cli", "--cluster", command, where, *options],
        capture_output=True,
        text=True,
        timeout=RESHARD_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


class Load:
    """Publishes checkouts of new customers, at a steady rate, during the block."""

    def __init__(self, url: str, ends: dict[str, int]) -> None:
        self.sent: list[dict[str, Any]] = []
        self.ends = ends
        self._url = url
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        began_s = time.monotonic()
        while not self._stopping.wait(BURST_S):
            due = int((time.monotonic() - began_s) * EVENTS_PER_S)
            if burst := [checkout(number) for number in range(len(self.sent), due)]:
                self.ends = append(self._url, *burst)
                self.sent += burst


def checkout(number: int) -> dict[str, Any]:
    at = f"2027-01-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}.000Z"
    return {
        "specversion": "1.0",
        "id": f"evt_new_{number}",
        "source": "/commerce/orders",
        "type": "order.created",
        "data": {
            "id": f"order_new_{number}",
            "order_group_id": f"og_new_{number // 2}",
            "customer_id": f"cus_new_{number // 2}",
            "seller_id": f"sel_{number % 7}",
            "status": "pending",
            "total": number % 100,
            "currency_code": "eur",
            "created_at": at,
            "updated_at": at,
        },
    }


class Lists:
    """Requests lists of settled groups, one after another, during the block."""

    def __init__(self, api: Api, until: str) -> None:
        self._client = api.client
        self._asked = [{**one, "created_at[$lte]": until} for one in LISTS]
        self.expected = [api.get(one) for one in self._asked]
        self.statuses: Counter[int] = Counter()
        self.wrong: list[tuple[dict[str, object], bytes]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            for one, expected in zip(self._asked, self.expected, strict=True):
                answer: httpx.Response = self._client.get(
                    "/admin/order-groups", params={k: str(v) for k, v in one.items()}
                )
                self.statuses[answer.status_code] += 1
                if answer.status_code == 503:
                    assert answer.headers["retry-after"]
                elif answer.content != expected:
                    self.wrong.append((one, answer.content))

    def check(self) -> None:
        assert not self.wrong, self.wrong[0]
        assert self.statuses.keys() <= {200, 503}, self.statuses
        assert self.statuses[200] > self.statuses[503], self.statuses
