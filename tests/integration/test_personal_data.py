"""PERSONAL_DATA=off: e-mail and names are in the log alone, and nothing in Redis tells them."""

import json
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from events.errors import InvalidEvent
from events.logs.log import Entry, Log, Record
from events.logs.open import open_log
from projector.parked.dead_letters import DeadLetters
from projector.parked.listing import entries
from projector.pipeline import Pipeline
from projector.project import Decoded
from projector.readmodel.schema.keys import Generation
from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests import oracle, readmodel
from tests.integration.client import running
from tests.integration.parking import ORDERS
from tests.integration.rebuilding import Shop
from tests.poison import event
from tests.processes import projector
from tests.servers.process import wait_until

NAMES = {
    "email": "secret@example.com",
    "customer_name": "Secret Person",
    "customer_first_name": "Secret",
    "customer_last_name": "Person",
    "seller_name": "Secret & Sons",
}
GOOD: oracle.Event = {**event(1), "data": {**event(1)["data"], **NAMES}}
# Its bad field is a name, too.
BAD = {**event(2), "data": {**event(2)["data"], **NAMES, "order_group_display_id": "Secret"}}
SENT = [Entry(b"secret key", json.dumps(one).encode(), (("trace", b"secret"),)) for one in (GOOD, BAD)]
REASON = "$.data.order_group_display_id: expected integer or null"


@pytest.fixture
def shop(one_redis_url: str, tmp_path: Path) -> Shop:
    shop = Shop(tmp_path, one_redis_url)
    shop.append(SENT)
    return shop


def off(shop: Shop) -> Shop:
    shop.settings["PERSONAL_DATA"] = "off"
    return shop


def on(shop: Shop) -> Shop:
    shop.settings["PERSONAL_DATA"] = "on"
    return shop


def run(shop: Shop, *options: str) -> None:
    with shop.run(*options) as process:
        shop.wait()
        assert process.stop() == 0, process.text()


def everything(redis_url: str, number: int) -> bytes:
    """Returns all that Redis holds of a generation, in small letters."""
    found: list[Any] = []
    with Redis.from_url(redis_url) as client:
        for key in client.scan_iter(match=f"og:{{{number}.*", count=1000):
            kind = client.type(key)
            read = {b"hash": client.hgetall, b"set": client.smembers, b"string": client.get}
            found += [key, client.zrange(key, 0, -1) if kind == b"zset" else read[kind](key)]
    return repr(found).lower().encode()


def whole(redis_url: str, fields: str) -> Any:
    with running(redis_url) as api:
        return api.list(f"fields={fields}")["order_groups"]


def test_nothing_in_redis_or_an_answer_has_a_name(shop: Shop, one_redis_url: str) -> None:
    run(off(shop))
    assert b"og_1" in everything(one_redis_url, 0)
    assert b"secret" not in everything(one_redis_url, 0)
    ((position, stored),) = shop.model().parked.items()
    parked = json.loads(stored)
    assert position == f"{ORDERS}@1"
    assert (parked["key"], parked["value"], parked["headers"], parked["reason"]) == (None, None, [], REASON)
    readmodel.check_accounting(shop.model(), 2)
    ((group,),) = (one["orders"] for one in whole(one_redis_url, "*orders,*orders.seller,*orders.customer"))
    assert group["email"] is None
    assert group["seller"] == {"id": "sel_01", "name": None}
    assert group["customer"] == {"id": "cus_01", "first_name": None, "last_name": None}
    shown = projector("parked", "show", position, cwd=shop.folder, settings=shop.settings)
    assert "in the log alone: PERSONAL_DATA is off" in shown.stdout
    raw = projector("parked", "show", "--raw", position, cwd=shop.folder, settings=shop.settings)
    assert (raw.returncode, raw.stdout) == (2, "")
    assert projector("verify", cwd=shop.folder, settings=shop.settings).returncode == 0


@pytest.mark.parametrize("is_auto", [False, True])
def test_the_setting_belongs_to_the_generation(shop: Shop, one_redis_url: str, is_auto: bool) -> None:
    run(off(shop))
    refused = projector("run", cwd=shop.folder, settings=on(shop).settings)
    assert refused.returncode == 2
    assert "PERSONAL_DATA: generation 0 was built with off, this process has on" in refused.stderr
    if not is_auto:
        shop.replay("--park", "--yes")
        assert shop.live() == (1, 1)
    # So that there is something to wait for.
    shop.append([SENT[1]])
    with shop.run(*(["--auto-replay"] if is_auto else [])):
        wait_until(lambda: shop.live() == (1, 1) and len(shop.model().parked) == 2, 30, "the other generation")
    assert b"secret" in everything(one_redis_url, 1)
    (group,) = whole(one_redis_url, "orders.email,orders.seller.name,orders.customer.last_name")
    assert group["orders"] == [
        {
            "id": "order_1",
            "email": "secret@example.com",
            "seller": {"id": "sel_01", "name": "Secret & Sons"},
            "customer": {"id": "cus_01", "last_name": "Person"},
        }
    ]
    assert "was built with off" in shop.replay("rollback", fails=2).stderr
    if not is_auto:
        off(shop).replay("--park", "--yes")
        assert shop.live() == (2, 1)
        assert b"secret" not in everything(one_redis_url, 2)
        shop.replay("drop", "1")
        assert everything(one_redis_url, 1) == b"[]"


def test_an_unfinished_generation_is_not_continued_with_another_setting(shop: Shop) -> None:
    run(on(shop))
    off(shop).replay("build", "--park", "--yes")
    refused = on(shop).replay("build", "--park", "--yes", fails=2)
    assert "generation 1 was begun with PERSONAL_DATA=off" in refused.stderr
    off(shop).replay("build", "--park", "--yes")


def parked_without_payload(store: Store, records: list[Record]) -> Generation:
    generation = store.generation(personal_data=False)
    pipeline = Pipeline(store, generation, lambda call: call())
    pipeline.start([ORDERS])
    problem = InvalidEvent("$.data.status", "expected a status that we know")
    pipeline.push([Decoded(record, None, problem, with_payload=False) for record in records])
    pipeline.flush()
    return generation


def test_a_redrive_reads_the_log_again(shop: Shop, one_redis_url: str) -> None:
    with closing(Nodes(one_redis_url)) as nodes:
        store = Store(nodes)
        generation = parked_without_payload(
            store, [Record(ORDERS, 0, 0, SENT[0].key, SENT[0].value), Record(ORDERS, 7, 0, None, b"")]
        )
        done = projector("parked", "redrive", "--all", "--json", cwd=shop.folder, settings=off(shop).settings)
        assert done.returncode == 1, done.stderr
        found = json.loads(done.stdout)
        assert (found["applied"], found["parked"]) == (1, {f"{ORDERS}@7": "$: the log no longer has the event"})
        assert [group.position for group in entries(store, generation)] == [f"{ORDERS}@7"]
    without = {name: value for name, value in GOOD["data"].items() if name not in NAMES}
    readmodel.check(shop.model(), [{**GOOD, "data": without}])


def test_dead_letters_have_what_the_log_has(shop: Shop, one_redis_url: str, tmp_path: Path) -> None:
    with closing(Nodes(one_redis_url)) as nodes, open_log(f"sqlite://{tmp_path}/letters.db", {}) as topic:
        topic.create()
        with open_log(shop.log_url, {}) as log:
            letters = DeadLetters(topic, Store(nodes), threading.Event(), log)
            records = [Record(ORDERS, 0, 0, SENT[0].key, SENT[0].value), Record(ORDERS, 7, 0, None, b"")]
            generation = parked_without_payload(Store(nodes), records)
            with Redis.from_url(one_redis_url) as client:
                stored = client.hgetall(generation.keys(0).parked)
            letters.produce({position.decode(): one for position, one in sorted(stored.items())})
        first, second = read(topic)
    assert (first.key, first.value, first.headers[0]) == (SENT[0].key, SENT[0].value, SENT[0].headers[0])
    assert dict(first.headers)["parked-position"] == b"orders/0@0"
    assert (second.key, second.value) == (None, None), "the log has lost it"
    assert dict(second.headers)["parked-position"] == b"orders/0@7"


def read(log: Log) -> list[Record]:
    end = log.end()
    with closing(log.read(dict.fromkeys(end, 0))) as reader:
        return list(reader.poll(1.0, 10, end))
