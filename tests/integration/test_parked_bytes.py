"""Large invalid events are compressed where that helps, and pause their partition at PARKED_BYTES_MAX."""

import base64
import json
import random
import re
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from events.logs.log import Entry, Record
from projector.errors import FatalError
from projector.parked.listing import entries, read_one
from projector.parked.record import Parked
from projector.parked.redrive import discard, redrive
from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests import readmodel
from tests.integration.parking import ORDERS, apply, records
from tests.integration.rebuilding import Shop
from tests.integration.test_parked_cap import append, end_of, has_paused, keys_of, live
from tests.poison import event
from tests.processes import Process, applied, projector
from tests.servers.process import free_port, wait_until

MIB = 1024 * 1024
PARKED = readmodel.PREFIX + "parked"


@pytest.fixture
def client(one_redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(one_redis_url) as client:
        yield client


@pytest.fixture
def store(one_redis_url: str) -> Iterator[Store]:
    store = Store(Nodes(one_redis_url))
    yield store
    store.nodes.close()


def noise(number: int, size: int = MIB) -> bytes:
    """Returns incompressible bytes."""
    return random.Random(number).randbytes(size)


@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_200_invalid_events_of_1_mib_pause_only_their_partition(
    kafka_topic: Callable[[int], str], one_redis_url: str, client: "redis.Redis", store: Store, tmp_path: Path
) -> None:
    """15 of the 200 records, each 1.4 MB in base64, fit the limit at a time."""
    url, limit = kafka_topic(2), 21 * MIB
    keys = keys_of(url)
    topic = url.split("/")[-1].split("?")[0]
    first, second = f"{topic}/0", f"{topic}/1"
    start = end_of(url, 0)
    # Kafka accepts batches of 1 MiB.
    append(url, [Entry(keys[0], noise(n, MIB - 1024)) for n in range(200)])
    used = client.info("memory")["used_memory"]
    settings = {"EVENT_LOG_URL": url, "REDIS_URL": one_redis_url, "PARKED_TOPIC": "off"}
    port = free_port()
    with Process("run", cwd=tmp_path, PROJECTOR_PORT=str(port), PARKED_BYTES_MAX=str(limit), **settings) as run:
        wait_until(partial(has_paused, client, first, start + 15), 60, "a pause")
        before = end_of(url, 1)
        append(url, [Entry(keys[1], json.dumps(event(number)).encode()) for number in range(50)])
        wait_until(lambda: applied(client).get(second) == before + 50, 20, "the other partition")
        assert applied(client)[first] == start + 15
        assert sum(client.hstrlen(PARKED, name) for name in client.hkeys(PARKED)) <= limit
        assert client.info("memory")["used_memory"] - used < 2 * limit
        found = status(tmp_path, settings)[first]
        assert (found["parked"], found["paused_at"], found["paused_by"]) == (15, start + 15, "PARKED_BYTES_MAX")
        assert 15 * 4 / 3 * (MIB - 1024) < found["parked_bytes"] <= limit
        wait_until(lambda: metric(port, first) == found["parked_bytes"], 10, "the metric")
        # Makes room for one, then for all.
        assert len(discard(store, live(store), entries(store, live(store))[:1])) == 1
        wait_until(partial(has_paused, client, first, start + 16), 20, "one more")
        while (at := applied(client)[first]) < start + 200:
            discard(store, live(store), entries(store, live(store)))
            wait_until(partial(is_past, client, first, at), 30, "more of them")
        assert run.stop() == 0
    model = readmodel.read(client)
    readmodel.check_accounting(model, sum(applied(client).values()))
    assert len(model.parked) + len(model.discarded) == 200


def metric(port: int, partition: str) -> float | None:
    found = re.search(
        rf'^order_groups_projector_parked_bytes{{partition="{partition}"}} (\S+)$',
        httpx.get(f"http://127.0.0.1:{port}/metrics").text,
        re.M,
    )
    return float(found[1]) if found else None


def is_past(client: "redis.Redis", partition: str, offset: int) -> bool:
    return applied(client)[partition] > offset


def status(folder: Path, settings: dict[str, str]) -> dict[str, Any]:
    found = json.loads(projector("status", "--json", cwd=folder, settings=settings).stdout)
    return {one["partition"]: one for one in found["partitions"]}


def test_compressed_records_take_little_room_and_are_read_unchanged(
    one_redis_url: str, client: "redis.Redis", store: Store, tmp_path: Path
) -> None:
    shop = Shop(tmp_path, one_redis_url)
    broken = [json.dumps({**event(n), "data": {"id": "x" * 50, "n": list(range(100_000))}}).encode() for n in range(8)]
    shop.append([Entry(b"key", value, (("trace", b"\xff"),)) for value in broken])
    with shop.run() as run:
        shop.wait()
        assert run.stop() == 0
    assert len(broken[0]) > MIB // 2
    readmodel.check_accounting(readmodel.read(client), 8)
    assert status(tmp_path, shop.settings)["orders/0"]["parked_bytes"] < sum(map(len, broken)) // 2
    stored = json.loads(client.hget(PARKED, "orders/0@3") or b"")
    assert zlib.decompress(base64.b64decode(stored["value"]["zlib"])) == broken[3]
    found = read_one(store, live(store), "orders/0@3")
    assert found.record == Record(ORDERS, 3, found.timestamp_ms, b"key", broken[3], (("trace", b"\xff"),))
    shown = projector("parked", "show", "orders/0@3", "--json", cwd=tmp_path, settings=shop.settings).stdout
    assert base64.b64decode(json.loads(shown)["value"]) == broken[3]
    # A replay parks and counts the same.
    before = readmodel.read(client).tally
    shop.replay("--yes", "--park")
    after = shop.model()
    readmodel.check_accounting(after, 8)
    assert {name: n for name, n in after.tally.items() if n} == {name: n for name, n in before.items() if n}
    verified = projector("verify", cwd=tmp_path, settings=shop.settings)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_large_record_is_redriven(client: "redis.Redis", store: Store) -> None:
    generation = store.generation()
    large = event(1, customer_id="c" * 200)
    large["note"] = "n" * 100_000
    apply(store, generation, records([large, b"bad" * 5000]), {0})
    found = redrive(store, generation, entries(store, generation))
    assert (found.applied, list(found.parked)) == (1, ["orders/0@1"])
    readmodel.check(readmodel.read(client), [large])
    readmodel.check_accounting(readmodel.read(client), 2)
    assert client.hget(readmodel.PREFIX + "tally", "orders/0:parked_bytes") == b"%d" % counted(client, "orders/0@1")
    assert len(discard(store, generation, entries(store, generation))) == 1
    assert client.hget(readmodel.PREFIX + "tally", "orders/0:parked_bytes") == b"0"


def counted(client: "redis.Redis", position: str) -> int:
    found: int = json.loads(client.hget(PARKED, position) or b"")["counted"]
    return found


def test_records_of_an_earlier_release_are_read_but_not_counted(client: "redis.Redis", store: Store) -> None:
    generation = store.generation()
    good = [event(number) for number in range(3)]
    apply(store, generation, records([*good, b"bad"]), {0, 1, 2})
    for position, stored in client.hgetall(PARKED).items():
        old = json.loads(stored)
        del old["counted"]
        client.hset(PARKED, position, json.dumps(old))
    client.hdel(readmodel.PREFIX + "tally", "orders/0:parked_bytes")
    assert redrive(store, generation, entries(store, generation)[:2]).applied == 2
    assert len(discard(store, generation, entries(store, generation)[:1])) == 1
    # Parked again by this release: counted.
    assert len(redrive(store, generation, entries(store, generation)).parked) == 1
    model = readmodel.read(client)
    readmodel.check_accounting(model, 4)
    assert model.tally["orders/0:parked_bytes"] == counted(client, "orders/0@3") > 0


def test_a_damaged_record_is_refused(client: "redis.Redis", store: Store) -> None:
    generation = store.generation()
    apply(store, generation, records([b"bad" * 5000]))
    stored = json.loads(client.hget(PARKED, "orders/0@0") or b"")
    stored["value"]["zlib"] = base64.b64encode(b"no zlib").decode()
    client.hset(PARKED, "orders/0@0", json.dumps(stored))
    with pytest.raises(FatalError, match="the parked event orders/0@0 in Redis is damaged"):
        redrive(store, generation, entries(store, generation))
    assert isinstance(read_one(store, generation, "orders/0@0"), Parked)
