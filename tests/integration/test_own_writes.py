"""Reading your own writes at a thousand other events a second, with real processes from log to HTTP."""

import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import redis

from events import Publisher
from events.logs.open import open_log
from tests.poison import event
from tests.processes import Api, Process, token, wait_until_applied

WRITES = 1000
CLIENTS = 8
# Events a second that others publish meanwhile, and how many go out together.
RATE = 1000
TOGETHER = 50
# What is left of the rate on a busy machine must still be most of it.
RATE_MIN = 0.8 * RATE
# The server's own answer to a wait that is too long would be a failure of the test.
WAIT_MS = 4000
LIST = "/admin/order-groups"


class Counts(NamedTuple):
    """Of one client: the answers, and how many plain requests were too early."""

    answers: int
    early: int


class OtherEvents(threading.Thread):
    """Publishes at a constant rate until stopped, to a few thousand groups, each event another order."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._stop_now = threading.Event()
        self.published = 0
        self.rate = 0.0

    def run(self) -> None:
        with Publisher(self._url, source="/others") as publisher:
            start_s = time.monotonic()
            while not self._stop_now.wait(start_s + self.published / RATE - time.monotonic()):
                numbers = range(self.published, self.published + TOGETHER)
                publisher.publish_all(
                    [event(f"other_{n}", order_group_id=f"og_other_{n % 3000}") for n in numbers]  # type: ignore[arg-type]
                )
                self.published += TOGETHER
            self.rate = self.published / (time.monotonic() - start_s)

    def stop(self) -> None:
        self._stop_now.set()
        self.join()


def write_and_read(url: str, address: str, client: int) -> Counts:
    """Publishes one group after the other, and reads each immediately, in four ways in turn."""
    answers = early = 0
    bearer = {"Authorization": f"Bearer {token()}"}
    with (
        Publisher(url, source=f"/client/{client}") as publisher,
        httpx.Client(base_url=address, headers=bearer, timeout=30) as http,
    ):
        for number in range(WRITES // CLIENTS):
            name = f"{client}_{number}_{uuid.uuid4().hex}"
            data = event(1, id=f"order_{name}", order_group_id=f"og_{name}", customer_id=f"cus_{name}")["data"]
            position = str(publisher.publish("order.created", data))
            way = number % 4
            if way == 0:
                early += http.get(f"{LIST}/og_{name}").status_code == 404
            path = (f"?id=og_{name}", f"?customer_id=cus_{name}", f"?q=og_{name}&limit=1", f"/og_{name}")[way]
            answer = http.get(LIST + path, headers={"X-Min-Position": position})
            assert answer.status_code == 200, (position, answer.text)
            groups = [answer.json()["order_group"]] if way == 3 else answer.json()["order_groups"]
            assert [group["id"] for group in groups] == [f"og_{name}"], position
            partition, _, offset = position.partition("@")
            reflected = dict(part.split("@") for part in answer.headers["X-Projection-Position"].split(","))
            assert int(reflected[partition]) >= int(offset)
            answers += 1
    return Counts(answers, early)


def read_own_writes(url: str, one_redis_url: str, tmp_path: Path) -> None:
    with (
        open_log(url, {}) as log,
        redis.Redis.from_url(one_redis_url) as client,
        Process("run", cwd=tmp_path, EVENT_LOG_URL=url, REDIS_URL=one_redis_url) as run,
        Api(tmp_path, one_redis_url, PROJECTION_WAIT_MS=str(WAIT_MS)) as api,
        ThreadPoolExecutor(CLIENTS) as clients,
    ):
        log.create()
        others = OtherEvents(url)
        others.start()
        try:
            address = str(api.client.base_url)
            seen = list(clients.map(lambda n: write_and_read(url, address, n), range(CLIENTS)))
        finally:
            others.stop()
        ends = {str(partition): end for partition, end in log.end().items()}
        wait_until_applied(client, {name: end for name, end in ends.items() if end})
        assert sum(one.answers for one in seen) == WRITES
        assert sum(one.early for one in seen) >= 10, "where nobody had to wait, nothing is shown"
        assert others.rate >= RATE_MIN, f"only {others.rate:.0f} events/s beside it"
        assert sum(ends.values()) == WRITES + others.published
        assert run.stop() == 0
        assert api.stop() == 0


@pytest.mark.thorough
def test_on_the_embedded_log(one_redis_url: str, tmp_path: Path) -> None:
    read_own_writes(f"sqlite://{tmp_path}/orders.db", one_redis_url, tmp_path)


def test_on_kafka(kafka_topic: Callable[[int], str], one_redis_url: str, tmp_path: Path) -> None:
    read_own_writes(kafka_topic(3), one_redis_url, tmp_path)
