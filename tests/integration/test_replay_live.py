"""A replay while events are published and lists are read: readers see no error, and nothing is missing."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from events.logs.log import Log
from events.logs.open import open_log
from tests import readmodel, stored
from tests.integration.rebuilding import Shop
from tests.processes import Api, applied, live, token

# `make chaos` has 200 000.
EVENTS = int(os.environ.get("REPLAY_EVENTS", 40_000))
# Events a second, published in portions of as many.
LIVE_RATE = 500
PORTION = 25
LAG_MAX_S = 2.0
WALKERS = 100

pytestmark = [pytest.mark.alone, pytest.mark.thorough]


@pytest.fixture
def shop(tmp_path: Path, one_redis_url: str, kafka_topic: Callable[[int], str]) -> Shop:
    return Shop(tmp_path, one_redis_url, kafka_topic(4))


@pytest.mark.timeout(400)
def test_a_rebuild_under_load(shop: Shop, tmp_path: Path) -> None:
    shop.publish(EVENTS)
    with shop.run() as run, Api(tmp_path, shop.place.url, ACCESS_LOG="off") as api:
        shop.wait(180)
        with ExitStack() as at_work:
            publisher = at_work.enter_context(Publisher(shop))
            lag = at_work.enter_context(Lag(shop, publisher))
            reader = at_work.enter_context(Reader(api))
            results = shop.steps("--yes", "--workers", "2")
        assert results["plan"]["events"] >= EVENTS
        assert results["verify"]["differences"] == 0
        assert results["verify"]["documents"][0] == results["verify"]["documents"][1]
        assert results["verify"]["index_entries"][0] == results["verify"]["index_entries"][1]
        # The load was real.
        assert publisher.published > LIVE_RATE * 2
        assert reader.answers > 200
        assert lag.looks > 50
        assert reader.failures == []
        assert lag.longest_s < LAG_MAX_S, lag.longest_s
        shop.wait()
        shop.check()
        assert run.process.poll() is None


@pytest.mark.timeout(300)
def test_walkers_across_the_switch(shop: Shop, tmp_path: Path) -> None:
    """The live generation is marked, group by group, so that no page of it can be taken for one of the new one."""
    shop.publish(2000)
    with shop.run(), Api(tmp_path, shop.place.url, API_CONCURRENCY_MAX="400", ACCESS_LOG="off") as api:
        shop.wait()
        with shop.place.client() as client:
            mark(client)
        shop.replay("build", "--yes", "--shards", "3")
        shop.replay("verify", fails=1)
        with Walkers(api, WALKERS) as walkers:
            walkers.wait_for(2 * WALKERS, old=True)
            shop.replay("switch", "--accept-differences")
            walkers.wait_for(2 * WALKERS, old=False)
        assert walkers.failures == []
        assert walkers.mixed == 0
        shop.check()


@pytest.mark.timeout(300)
def test_rollback_after_ten_thousand_further_events(shop: Shop) -> None:
    shop.publish(5000)
    with shop.run():
        shop.wait()
        shop.replay("--yes", "--shards", "3")
        shop.publish(10_000)
        shop.wait()
        with shop.place.client() as client:
            assert sum(applied(client, 0, 1).values()) == 5000
        shop.replay("rollback")
        assert shop.live() == (0, 1)
        shop.check()
        shop.publish(100)
        shop.wait()
        shop.check()


def mark(client: Any) -> None:
    """No seller_count is ever 99."""
    for member, row in client.hgetall(readmodel.PREFIX + "row").items():
        document = json.loads(row[stored.HEAD_BYTES :].split(b"\xff")[0]) | {"seller_count": 99}
        marked = row[: stored.HEAD_BYTES] + json.dumps(document).encode()
        client.hset(readmodel.PREFIX + "row", member, marked)


class Background:
    """`step` again and again, until the `with` block ends. What it raises is raised there."""

    def __init__(self, threads: int = 1) -> None:
        self._stop = threading.Event()
        self._errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(threads)]

    def __enter__(self) -> Any:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _run(self, number: int) -> None:
        try:
            with self.working() as step:
                while not self._stop.is_set():
                    step()
        except BaseException as error:  # noqa: BLE001  raised by __exit__
            self._errors.append(error)

    @contextmanager
    def working(self) -> Iterator[Callable[[], None]]:
        yield self.step

    def step(self) -> None:
        raise NotImplementedError


class Publisher(Background):
    def __init__(self, shop: Shop) -> None:
        super().__init__()
        self.published = 0
        self.marks: list[tuple[float, dict[str, int]]] = []
        self._shop = shop
        self._next_s = time.monotonic()

    @contextmanager
    def working(self) -> Iterator[Callable[[], None]]:
        with open_log(self._shop.log_url, {}) as log:
            yield lambda: self._publish(log)

    def _publish(self, log: Log) -> None:
        self._stop.wait(max(self._next_s - time.monotonic(), 0))
        self._next_s += PORTION / LIVE_RATE
        self._shop.publish_to(log, PORTION)
        self.published += PORTION
        self.marks.append((time.monotonic(), dict(self._shop.ends)))


class Lag(Background):
    """How long it took at most until the live generation reflected what had been published."""

    def __init__(self, shop: Shop, publisher: Publisher) -> None:
        super().__init__()
        self.longest_s = 0.0
        self.looks = 0
        self._shop = shop
        self._publisher = publisher
        self._seen = 0

    @contextmanager
    def working(self) -> Iterator[Callable[[], None]]:
        with self._shop.place.client() as client:
            yield lambda: self._look(client)

    def _look(self, client: "redis.Redis") -> None:
        now_s = time.monotonic()
        reached = applied(client, *live(client))
        marks = self._publisher.marks
        while self._seen < len(marks) and all(reached.get(p, 0) >= at for p, at in marks[self._seen][1].items()):
            self._seen += 1
        if self._seen < len(marks):
            self.longest_s = max(self.longest_s, now_s - marks[self._seen][0])
        self.looks += 1
        self._stop.wait(0.01)


class Reader(Background):
    """Polls the first page. Its positions and its count never go back, and it is never refused."""

    def __init__(self, api: Api) -> None:
        super().__init__()
        self.answers = 0
        self.failures: list[str] = []
        self._api = api
        self._positions: dict[str, int] = {}
        self._count = 0

    def step(self) -> None:
        answer = self._api.client.get("/admin/order-groups?limit=20")
        if answer.status_code != 200:
            self.failures.append(answer.text)
            return
        body = answer.json()
        header = dict(part.split("@") for part in answer.headers["X-Projection-Position"].split(","))
        positions = {name: int(offset) for name, offset in header.items()}
        if any(positions.get(name, 0) < offset for name, offset in self._positions.items()):
            self.failures.append(f"from {self._positions} back to {positions}")
        if body["count"] < self._count or len(body["order_groups"]) != 20:
            self.failures.append(f"{len(body['order_groups'])} rows, and from {self._count} to {body['count']}")
        self._positions, self._count = positions, body["count"]
        self.answers += 1


class Walkers(Background):
    """Each goes from page to page, and looks from which generation the rows are."""

    def __init__(self, api: Api, number: int) -> None:
        super().__init__(number)
        self.failures: list[str] = []
        self.mixed = 0
        self._url = str(api.client.base_url)
        self._lock = threading.Lock()
        self._pages = {True: 0, False: 0}
        self._changed = threading.Condition(self._lock)

    @contextmanager
    def working(self) -> Iterator[Callable[[], None]]:
        with httpx.Client(base_url=self._url, headers={"Authorization": f"Bearer {token()}"}, timeout=30) as client:
            yield lambda: self._walk(client)

    def wait_for(self, pages: int, old: bool) -> None:
        """More of them, from the old or the new generation."""
        with self._changed:
            until = self._pages[old] + pages
            assert self._changed.wait_for(lambda: self._pages[old] >= until, 60), self._pages

    def _walk(self, client: httpx.Client) -> None:
        offset, count = 0, 1
        while offset < count and not self._stop.is_set():
            answer = client.get(f"/admin/order-groups?limit=50&offset={offset}")
            if answer.status_code != 200:
                with self._lock:
                    self.failures.append(answer.text)
                return
            body = answer.json()
            count, offset = body["count"], offset + 50
            marked = {row["seller_count"] == 99 for row in body["order_groups"]}
            with self._changed:
                self.mixed += len(marked) > 1
                for old in marked:
                    self._pages[old] += 1
                self._changed.notify_all()
