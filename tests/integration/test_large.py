"""Groups so large that a batch of them exceeds the limit of one commit."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from events.logs.log import Entry, Partition, Record
from events.logs.sqlite.log import SqliteLog
from projector.batches import BATCH_RECORDS_MAX, COMMIT_RECORD_BYTES_MAX
from projector.pipeline import Pipeline
from projector.project import Decoded, decode_record
from projector.run import Projector
from projector.store.nodes import Nodes
from projector.store.redis import Store
from projector.store.request import REQUEST_BYTES_MAX
from tests import readmodel
from tests.poison import event
from tests.processes import wait_until_applied

GROUPS, ORDERS = 30, 1000


@contextmanager
def projecting(path: Path, url: str) -> Iterator[None]:
    """Runs the projector in a thread."""
    stop = threading.Event()
    store = Store(Nodes(url))
    thread = threading.Thread(target=Projector(SqliteLog(path), store, stop).run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
        store.nodes.close()
    assert not thread.is_alive()


def order(group: int, number: int, **data: Any) -> dict[str, Any]:
    return event(group * 10_000 + number, order_group_id=f"og_{group}", **data)


def append(log: SqliteLog, events: list[dict[str, Any]]) -> dict[str, int]:
    log.append([Entry(None, json.dumps(event).encode()) for event in events])
    return {str(partition): end for partition, end in log.end().items()}


@pytest.mark.timeout(180)
def test_a_batch_rewrites_each_large_group_once(redis_url: str, tmp_path: Path) -> None:
    """Updates of ten groups in turn take one commit; thirty groups exceed its limit."""
    path = tmp_path / "orders.db"
    events = [order(group, number) for group in range(GROUPS) for number in range(ORDERS)]
    with SqliteLog(path) as log, redis.Redis.from_url(redis_url) as client:
        log.create()
        ends = append(log, events)
        with projecting(path, redis_url):
            wait_until_applied(client, ends)
            # One transaction, hence one batch.
            some = [updated(n % 10, n // 10) for n in range(BATCH_RECORDS_MAX)]
            client.config_resetstat()
            wait_until_applied(client, append(log, some))
            assert commits(client) == 1
            each = [updated(group, 500) for group in range(GROUPS)]
            client.config_resetstat()
            wait_until_applied(client, append(log, each))
            assert commits(client) == 2
        model = readmodel.read(client)
        states = sum(map(len, client.hvals(readmodel.PREFIX + "record")))
    assert COMMIT_RECORD_BYTES_MAX < states < 2 * COMMIT_RECORD_BYTES_MAX, "the groups were small: nothing was shown"
    readmodel.check(model, events + some + each)
    readmodel.check_accounting(model, len(events) + len(some) + len(each))


def updated(group: int, number: int) -> dict[str, Any]:
    found = order(group, number, version=2, status="completed")
    return {**found, "id": found["id"] + "_completed"}


def commits(client: "redis.Redis") -> int:
    found: int = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    return found


def test_one_order_too_many_is_parked(redis_url: str, tmp_path: Path) -> None:
    path = tmp_path / "orders.db"
    events = [order(1, number) for number in range(ORDERS)]
    with SqliteLog(path) as log, redis.Redis.from_url(redis_url) as client:
        log.create()
        ends = append(log, [*events, order(1, ORDERS), order(2, 1)])
        with projecting(path, redis_url):
            wait_until_applied(client, ends)
        model = readmodel.read(client)
    readmodel.check(model, [*events, order(2, 1)])
    parked = json.loads(model.parked[f"orders/0@{ORDERS}"])
    assert parked["reason"] == "$.data.order_group_id: expected at most 1000 orders in a group, got one more"
    readmodel.check_accounting(model, ORDERS + 2)


def test_groups_that_another_partition_made_large_meanwhile(redis_url: str) -> None:
    """Another partition makes the groups too large for one commit between load and commit."""
    store = Store(Nodes(redis_url))
    ours, theirs = Partition("orders", 0), Partition("orders", 1)
    mine = [order(group, 9_999) for group in range(6)]
    others = [order(group, number) for group in range(6) for number in range(ORDERS - 1)]
    with redis.Redis.from_url(redis_url) as client:
        first = Pipeline(store, store.generation(), lambda call: call())
        second = Pipeline(store, store.generation(), lambda call: call())
        first.start([ours])
        second.start([theirs])
        first.push(decoded(ours, mine))
        for start in range(0, len(others), 500):
            second.push(decoded(theirs, others[start : start + 500], start))
        second.flush()
        first.flush()
        model = readmodel.read(client)
    store.nodes.close()
    written = sum(map(len, model.documents.values()))
    assert written > REQUEST_BYTES_MAX, "the groups were small: nothing was shown"
    readmodel.check(model, mine + others)
    readmodel.check_accounting(model, len(mine) + len(others))


def decoded(partition: Partition, events: list[dict[str, Any]], start: int = 0) -> list[Decoded]:
    return [decode_record(Record(partition, start + i, 0, None, json.dumps(e).encode())) for i, e in enumerate(events)]
