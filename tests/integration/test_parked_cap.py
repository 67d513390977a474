"""At PARKED_MAX a partition pauses, others continue, and it resumes when there is room."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from events.logs.log import Entry, Partition
from events.logs.open import open_log
from projector import project as projecting
from projector.parked.cap import Limits
from projector.parked.listing import entries
from projector.parked.redrive import discard, redrive
from projector.readmodel.schema.keys import Generation
from projector.run import Projector
from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests import readmodel
from tests.integration.rebuilding import Shop
from tests.poison import event
from tests.processes import Process, applied, projector, wait_until_applied
from tests.servers.process import wait_until

MAX = 5
PAUSED = "{og:live}:paused"
STARTED = "{og:live}:started"


@pytest.fixture
def client(one_redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(one_redis_url) as client:
        yield client


@pytest.fixture
def store(one_redis_url: str) -> Iterator[Store]:
    store = Store(Nodes(one_redis_url))
    yield store
    store.nodes.close()


def live(store: Store) -> Generation:
    found = store.catalogue.live()
    assert found is not None
    return found


def bad(number: int) -> Entry:
    return Entry(None, b"bad %d" % number)


def good(number: int, **data: Any) -> Entry:
    return Entry(None, json.dumps(event(number, **data)).encode())


@contextmanager
def running(shop: Shop) -> Iterator[None]:
    stop = threading.Event()
    store = Store(Nodes(shop.place.url))
    with open_log(shop.log_url, {}) as log:
        thread = threading.Thread(target=Projector(log, store, stop, limits=Limits(MAX)).run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            store.nodes.close()


def assert_paused_at(client: "redis.Redis", offset: int) -> None:
    """Waits until exactly one partition is paused, at that offset."""
    wait_until(lambda: client.hlen(PAUSED) == 1, 10, "a pause")
    found: Any = client.hgetall(PAUSED)
    ((partition, stored),) = found.items()
    assert json.loads(stored)["offset"] == offset
    # Records admitted before are stored soon after.
    wait_until(lambda: applied(client) == {partition.decode(): offset}, 10, "all before it")


def test_it_pauses_and_resumes(
    one_redis_url: str, client: "redis.Redis", store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = Shop(tmp_path, one_redis_url)
    sent = [good(0), *map(bad, range(1, 4)), good(4), *map(bad, range(5, 10)), good(10), *map(bad, range(11, 14))]
    shop.append(sent)
    with running(shop):
        assert_paused_at(client, 7)
        shop.append([good(14)])
        status = projector("status", cwd=tmp_path, settings=shop.settings).stdout
        assert "orders/0 is paused at 7: too many of its events are parked (PARKED_MAX)" in status
        assert len(discard(store, live(store), entries(store, live(store))[:1])) == 1
        wait_until(lambda: applied(client) == {"orders/0": 8}, 10, "one more")
        assert_paused_at(client, 8)
        assert len(discard(store, live(store), entries(store, live(store)))) == 5
        wait_until(lambda: applied(client) == {"orders/0": 15}, 10, "the end")
        wait_until(lambda: client.exists(PAUSED) == 0, 10, "no pause")
    model = readmodel.read(client)
    readmodel.check(model, [event(number) for number in (0, 4, 10, 14)])
    readmodel.check_accounting(model, 15)
    assert (len(model.parked), len(model.discarded)) == (5, 6)
    output = capsys.readouterr().out
    assert output.count("paused: too many parked events") == 2, "one line for each time"
    assert output.count("there is room for parked events again") == 2


def test_it_stays_paused_after_a_restart_until_a_higher_limit(
    one_redis_url: str, client: "redis.Redis", tmp_path: Path
) -> None:
    shop = Shop(tmp_path, one_redis_url)
    shop.append([*map(bad, range(8)), good(8)])
    for _ in range(2):
        client.delete(PAUSED)
        with running(shop):
            assert_paused_at(client, MAX)
    for _ in range(4):
        # A mark as of a killed process: a paused event is no poison pill.
        client.hsetnx(STARTED, "orders/0", '{"who":"another"}')
        client.delete(PAUSED)
        with running(shop):
            assert_paused_at(client, MAX)
            marked: Any = client.hget(STARTED, "orders/0")
        client.hset(STARTED, "orders/0", marked)
    with Process("run", cwd=tmp_path, PARKED_MAX="8", **shop.settings) as run:
        wait_until_applied(client, shop.ends)
        assert run.stop() == 0
    assert client.exists(PAUSED) == 0
    model = readmodel.read(client)
    readmodel.check_accounting(model, 9)
    assert not any(b"kills_process" in stored for stored in model.parked.values())


def test_orders_above_the_limit_of_a_group_count(
    one_redis_url: str, client: "redis.Redis", store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fold finds them; within a second their partition pauses."""
    monkeypatch.setattr(projecting, "ORDERS_MAX", 2)
    shop = Shop(tmp_path, one_redis_url)
    with running(shop):
        number = 0
        while not client.exists(PAUSED):
            shop.append([good(number + i, order_group_id="og_full") for i in range(5)])
            number += 5
            # No more than a group can hold soon.
            wait_until(lambda: bool(client.exists(PAUSED)) or applied(client) == shop.ends, 20, "a pause, or the end")
        stopped_at = applied(client)["orders/0"]
        found = entries(store, live(store))
        assert len(found) > MAX
        monkeypatch.setattr(projecting, "ORDERS_MAX", 1_000_000)
        assert len(redrive(store, live(store), found).parked) == 0
        shop.wait()
    assert stopped_at < shop.ends["orders/0"] or number == stopped_at
    readmodel.check(readmodel.read(client), [event(i, order_group_id="og_full") for i in range(number)])
    readmodel.check_accounting(readmodel.read(client), number)


def test_other_partitions_continue(
    kafka_topic: Callable[[int], str], one_redis_url: str, client: "redis.Redis", store: Store, tmp_path: Path
) -> None:
    url = kafka_topic(2)
    keys = keys_of(url)
    append(url, [Entry(keys[0], b"bad") for _ in range(3 * MAX)])
    settings = {"EVENT_LOG_URL": url, "REDIS_URL": one_redis_url, "PARKED_MAX": str(MAX), "PARKED_TOPIC": "off"}
    with Process("run", cwd=tmp_path, **settings) as run:
        topic = url.split("/")[-1].split("?")[0]
        first, second = f"{topic}/0", f"{topic}/1"
        wait_until(lambda: client.hexists(PAUSED, first), 20, "a pause")
        before = end_of(url, 1)
        events = [event(number) for number in range(200)]
        append(url, [Entry(keys[1], json.dumps(one).encode()) for one in events])
        wait_until(lambda: applied(client).get(second) == before + 200, 20, "the other partition")
        offset = applied(client)[first]
        for entry in entries(store, live(store)):
            discard(store, live(store), [entry])
        wait_until(partial(has_paused, client, first, offset + MAX), 20, "full again")
        wait_until(lambda: applied(client)[first] == offset + MAX, 20, "what was admitted before it")
        discard(store, live(store), entries(store, live(store)))
        wait_until(lambda: has_caught_up(client, url), 20, "the end")
        assert run.stop() == 0
        assert run.text().count("paused: too many parked events") >= 2
    model = readmodel.read(client)
    readmodel.check(model, events)
    readmodel.check_accounting(model, sum(applied(client).values()))


def has_paused(client: "redis.Redis", partition: str, offset: int) -> bool:
    found: Any = client.hget(PAUSED, partition)
    return found is not None and json.loads(found)["offset"] == offset


def append(url: str, sent: Sequence[Entry]) -> None:
    with open_log(url, {}) as log:
        log.append(sent)


def end_of(url: str, number: int) -> int:
    with open_log(url, {}) as log:
        return log.end()[Partition(log.topic, number)]


def has_caught_up(client: "redis.Redis", url: str) -> bool:
    with open_log(url, {}) as log:
        return applied(client) == {str(partition): end for partition, end in log.end().items() if end}


def keys_of(url: str) -> list[bytes]:
    """Returns a key for each of two partitions, found by sending valid events."""
    found: dict[int, bytes] = {}
    with open_log(url, {}) as log:
        number = 0
        while len(found) < 2:
            key = b"key %d" % number
            ((partition, _),) = log.append([Entry(key, json.dumps(event(0)).encode())])
            found.setdefault(partition.number, key)
            number += 1
    return [found[0], found[1]]
