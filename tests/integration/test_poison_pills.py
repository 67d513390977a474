"""An event that kills the process is found and parked after at most three restarts; no other event is."""

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from events.logs.log import Entry, Partition, Record
from projector.parked.poison_pills import PoisonPills
from projector.project import Decoded
from projector.readmodel.schema.keys import VERSION, Generation
from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests import readmodel
from tests.integration.rebuilding import Shop
from tests.poison import event
from tests.processes import Process, applied, environment, projector, wait_until_applied
from tests.servers.process import wait_until

STARTED = "{og:live}:started"
ORDERS = Partition("orders", 0)
GENERATION = Generation(0, 1, VERSION)
CRASHED = "kills_process: processes that decoded it crashed"


@pytest.fixture
def client(one_redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(one_redis_url) as client:
        yield client


def good(number: int) -> Entry:
    return Entry(None, json.dumps(event(number)).encode())


def run_with_poison_pills(shop: Shop, *arguments: str, stdout: int | None = None) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.poison_pills", *(arguments or ("run",))],
        cwd=Path(__file__).parents[2],
        env=environment(**shop.settings),
        stdout=stdout,
    )


def is_over(process: "subprocess.Popen[bytes]", client: "redis.Redis", shop: Shop) -> bool:
    return process.poll() is not None or applied(client) == shop.ends


def is_past(client: "redis.Redis", offset: int) -> bool:
    return applied(client).get("orders/0", 0) > offset


def test_a_poison_pill_is_parked(one_redis_url: str, client: "redis.Redis", tmp_path: Path) -> None:
    before = 700
    shop = Shop(tmp_path, one_redis_url)
    deadly = Entry(b"k", json.dumps(event(9_999, status="deadly")).encode(), (("trace", b"x"),))
    shop.append([*map(good, range(before)), deadly, *map(good, range(before, before + 20)), Entry(None, b"memory")])
    restarts = -1
    while applied(client) != shop.ends:
        restarts += 1
        assert restarts <= 3
        process = run_with_poison_pills(shop)
        wait_until(partial(is_over, process, client, shop), 30, "either")
    assert restarts == 3
    process.terminate()
    assert process.wait(5) == 0
    assert client.exists(STARTED) == 0, "marks remain after a clean exit"
    model = readmodel.read(client)
    readmodel.check(model, [event(number) for number in range(before + 20)])
    readmodel.check_accounting(model, before + 22)
    reasons = {position: json.loads(told)["reason"] for position, told in model.parked.items()}
    assert reasons == {
        f"orders/0@{before}": CRASHED,
        f"orders/0@{before + 21}": "kills_process: expected an event that can be decoded, got MemoryError",
    }
    # Replay and verify do not decode it either, before it is redriven. (A replay has enough memory for the other one.)
    verified = run_with_poison_pills(shop, "verify", "--json", stdout=subprocess.PIPE).communicate()[0]
    report = json.loads(verified)
    assert (report["differences"], report["parked"]) == (0, 2)
    shop.replay("--yes", "--park")
    assert shop.live()[0] == 1
    model = shop.model()
    readmodel.check(model, [event(number) for number in range(before + 20)])
    assert json.loads(model.parked[f"orders/0@{before}"])["reason"] == CRASHED
    done = projector("parked", "redrive", "--all", cwd=tmp_path, settings=shop.settings)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "1 applied, 0 stale, 0 passed over; 1 still parked."
    shop.events = [*(event(number) for number in range(before + 20)), event(9_999, status="deadly")]
    shop.check()
    assert json.loads(projector("verify", "--json", cwd=tmp_path, settings=shop.settings).stdout)["differences"] == 0


def test_repeated_kills_park_nothing(one_redis_url: str, client: "redis.Redis", tmp_path: Path) -> None:
    shop = Shop(tmp_path, one_redis_url)
    shop.append([good(number) for number in range(2_000)])
    for _ in range(2):
        before = applied(client).get("orders/0", 0)
        with Process("run", cwd=tmp_path, **shop.settings) as run:
            wait_until(partial(is_past, client, before + 50), 30, "some progress")
            run.process.kill()
    with Process("run", cwd=tmp_path, **shop.settings) as run:
        wait_until_applied(client, shop.ends)
        assert "one event at a time" in run.text()
        assert run.stop() == 0
    model = readmodel.read(client)
    readmodel.check(model, [event(number) for number in range(2_000)])
    readmodel.check_accounting(model, 2_000)
    assert model.parked == {}


class Dies(Exception):
    pass


def die_at_last(reader: PoisonPills, position: int, offsets: range) -> list[int]:
    """Starts at the position, and dies at the last offset. Returns offsets that were parked without decoding."""
    parked: list[int] = []
    records = [Record(ORDERS, offset, 0, None, json.dumps(event(offset)).encode()) for offset in offsets]
    reader.start(GENERATION, {ORDERS: position})

    def note(decoded: Any) -> None:
        items: list[Decoded] = list(decoded)
        parked.extend(item.record.offset for item in items if item.problem)
        if items[-1].record.offset == offsets[-1] and not items[-1].problem:
            raise Dies

    try:
        for decoded in reader.decode(records, lambda: None):
            note(decoded)
    except Dies:
        pass
    return parked


def test_only_two_deaths_in_a_row_at_one_event_count(one_redis_url: str) -> None:
    nodes = Nodes(one_redis_url)

    def reader() -> PoisonPills:
        return PoisonPills(Store(nodes), lambda call: call())

    assert die_at_last(reader(), 0, range(0, 8)) == []
    assert die_at_last(reader(), 0, range(0, 3)) == []
    assert die_at_last(reader(), 2, range(2, 6)) == [], "another event than before"
    assert die_at_last(reader(), 5, range(5, 6)) == [], "the second time"
    clean = reader()
    clean.start(GENERATION, {ORDERS: 5})
    clean.end()
    assert die_at_last(reader(), 5, range(5, 6)) == [], "a clean exit resets the count"
    assert die_at_last(reader(), 5, range(5, 6)) == []
    assert die_at_last(reader(), 5, range(5, 6)) == []
    assert die_at_last(reader(), 5, range(5, 9)) == [5]
    store = Store(nodes)
    assert store.poison_pills(GENERATION) == {"orders/0@5"}
    store.bind_log(GENERATION, "another log")
    assert store.poison_pills(GENERATION) == set(), "it is another event there"
    nodes.close()
