"""A steady load on a few groups of 1000 orders does not delay other events."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from events.logs.log import Entry, Partition
from events.logs.open import open_log
from tests.chaos.survived import survived
from tests.integration.rebuilding import Shop
from tests.poison import event
from tests.processes import applied
from tests.servers.process import wait_until

GROUPS, ORDERS = 10, 1000
# Updates per second; updates per portion; and the number of other events that are awaited, one at a time.
RATE, PORTION = 200, 4
OTHERS = 12
LATE_MAX_S = 1.0

pytestmark = [pytest.mark.alone, pytest.mark.thorough]


def order(group: int, number: int, version: int = 1) -> dict[str, Any]:
    """Ids have a realistic length: a group of 1000 orders has a document of 320 KB."""
    found = event(group * 100_000 + number, version=version, status="completed" if version > 1 else "pending")
    found["id"] += f"_{version}"
    found["data"]["id"] = f"order_01KSW1SKAQ{group:06d}{number:010d}"
    found["data"]["order_group_id"] = f"og_01KSW1SKAQ{group:016d}"
    found["data"]["seller_id"] = f"sel_01KSW1SKAQ{number % 40:016d}"
    found["data"]["customer_id"] = f"cus_01KSW1SKAQ{group:016d}"
    found["data"]["cart_id"] = f"cart_01KSW1SKAQ{group:016d}"
    return found


def entries(events: Sequence[dict[str, Any]]) -> list[Entry]:
    """Keys events by group, as the contract recommends."""
    return [Entry(one["data"]["order_group_id"].encode(), json.dumps(one).encode()) for one in events]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("log", ["sqlite", "kafka"])
def test_other_events_are_visible_within_a_second(
    log: str, request: pytest.FixtureRequest, one_redis_url: str, tmp_path: Path
) -> None:
    """In SQLite the groups share one partition, in Kafka they are spread over three."""
    if log == "kafka":
        new_topic: Callable[[int], str] = request.getfixturevalue("kafka_topic")
        shop = Shop(tmp_path, one_redis_url, new_topic(3))
    else:
        shop = Shop(tmp_path, one_redis_url)
    filled = [order(group, number) for group in range(GROUPS) for number in range(ORDERS)]
    for start in range(0, len(filled), ORDERS):
        shop.append(entries(filled[start : start + ORDERS]))
    with redis.Redis.from_url(one_redis_url) as client, shop.run() as run:
        shop.wait()
        with loading(shop) as sent, open_log(shop.log_url, {}) as published:
            late_s = []
            for number in range(OTHERS):
                started_s = time.monotonic()
                ((partition, position),) = published.append(entries([order(900_000 + number, 1)]))
                wait_until(partial(is_applied, client, partition, position), 60, "another event")
                late_s.append(time.monotonic() - started_s)
                wait_until(partial(has_at_least, sent, (number + 1) * RATE // 4), 60, "more updates")
        assert max(late_s) < LATE_MAX_S, late_s
        assert run.process.poll() is None
    survived("200 updates/s of groups of 1000 orders, beside others", 1, len(filled) + len(sent) + OTHERS)


def is_applied(client: "redis.Redis", partition: Partition, position: int) -> bool:
    return applied(client).get(str(partition), 0) >= position


def has_at_least(sent: Sized, number: int) -> bool:
    return len(sent) >= number


@contextmanager
def loading(shop: Shop) -> Iterator[list[dict[str, Any]]]:
    """Publishes updates, each of another group than the one before, and adds them to the list."""
    stop, sent = threading.Event(), list[dict[str, Any]]()

    def publish() -> None:
        started_s = time.monotonic()
        with open_log(shop.log_url, {}) as log:
            while not stop.wait(max(0.0, len(sent) / RATE - (time.monotonic() - started_s))):
                number = len(sent)
                some = [order(n % GROUPS, n // GROUPS % ORDERS, 2 + n) for n in range(number, number + PORTION)]
                log.append(entries(some))
                sent.extend(some)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield sent
    finally:
        stop.set()
        thread.join()
