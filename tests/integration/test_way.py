"""The whole way on real parts: events on Kafka, the projector as a process, Redis, the API over HTTP."""

import base64
import json
import random
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis

from events.logs.log import Entry
from events.logs.open import open_log
from events.sample import Marketplace
from tests import oracle, readmodel
from tests.fields import DEFAULT_FIELDS
from tests.poison import FINE, POISON
from tests.poison import event as good_event
from tests.processes import Api, Process, applied, wait_until_applied
from tests.servers.process import wait_until
from tests.servers.redis import RedisHome, RedisServer

STRUCTURED = (("content-type", b"application/cloudevents+json"),)


@pytest.fixture
def client(one_redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(one_redis_url) as client:
        yield client


def marketplace(groups: int) -> list[dict[str, Any]]:
    """Events of that many groups."""
    shop = Marketplace(7, datetime(2026, 6, 1, tzinfo=UTC))
    found: dict[str, list[dict[str, Any]]] = {}
    for event in shop.history():
        group = event["data"]["order_group_id"]
        if group not in found and len(found) == groups:
            return [event for events in found.values() for event in events]
        found.setdefault(group, []).append(event)
    raise AssertionError("the history is endless")


def append(url: str, entries: list[Entry]) -> dict[str, int]:
    """Publishes all, and returns the ends of the log."""
    with open_log(url, {}) as log:
        for start in range(0, len(entries), 1000):
            log.append(entries[start : start + 1000])
        return {str(partition): end for partition, end in log.end().items()}


def scattered(events: list[dict[str, Any]], chance: random.Random) -> list[Entry]:
    """In no order, each under a key of its own: every partition meets every group."""
    chance.shuffle(events)
    return [Entry(uuid.UUID(int=chance.getrandbits(128)).bytes, json.dumps(e).encode(), STRUCTURED) for e in events]


def list_all(api: Api, order: str, **filters: str) -> tuple[list[dict[str, Any]], int]:
    """Every page of a list, and the count, which all pages agree on."""
    rows: list[dict[str, Any]] = []
    counts = set()
    while True:
        parameters = {"limit": 1000, "offset": len(rows), "order": order, **filters}
        page = json.loads(api.get(parameters), parse_float=Decimal)
        counts.add(page["count"])
        rows += page["order_groups"]
        if not page["order_groups"]:
            assert len(counts) == 1
            return rows, counts.pop()


def check_lists(api: Api, events: list[dict[str, Any]], client: "redis.Redis") -> None:
    groups = list(oracle.groups(events).values())
    stored: Any = client.hgetall(readmodel.PREFIX + "ordinal")
    ordinals = {group_id.decode(): int.from_bytes(member, "big") for group_id, member in stored.items()}
    for field in ("created_at", "updated_at", "total", "seller_count"):
        for descending in (False, True):
            rows, count = list_all(api, "-" * descending + field)
            expected = sorted(groups, key=lambda group: (group[field], ordinals[group["id"]]), reverse=descending)
            assert rows == [{name: group[name] for name in DEFAULT_FIELDS} for group in expected], field
            assert count == len(groups)
    for filters in ({"status": "completed"}, {"seller_id": "sel_001"}, {"customer_id": "cus_00002"}):
        ((name, value),) = filters.items()
        rows, count = list_all(api, "-created_at", **filters)
        where = {"status": "statuses", "seller_id": "seller_ids", "customer_id": "customer_id"}[name]
        matching = {g["id"] for g in groups if value == g[where] or value in (g[where] or [])}
        assert matching, "a filter that nothing matches shows nothing"
        assert {row["id"] for row in rows} == matching
        assert count == len(matching)


def test_ten_thousand_events_from_kafka_to_the_list(
    kafka_topic: Callable[[int], str], one_redis_url: str, client: "redis.Redis", tmp_path: Path
) -> None:
    chance = random.Random(1)
    events = marketplace(2000)
    repeated = chance.choices(events, k=10_000 - len(events))
    assert len(repeated) >= 2000, "at least a fifth comes twice"
    url = kafka_topic(3)
    ends = append(url, scattered(events + repeated, chance))
    assert len(ends) == 3
    assert min(ends.values()) > 1000
    with (
        Api(tmp_path, one_redis_url) as api,
        Process("run", cwd=tmp_path, EVENT_LOG_URL=url, REDIS_URL=one_redis_url) as run,
    ):
        wait_until_applied(client, ends)
        model = readmodel.read(client)
        readmodel.check(model, events)
        readmodel.check_accounting(model, 10_000)
        check_lists(api, events, client)
        assert run.stop() == 0
        assert api.stop() == 0


def test_the_other_process_takes_over_from_one_that_is_killed(
    kafka_topic: Callable[[int], str], one_redis_url: str, client: "redis.Redis", tmp_path: Path
) -> None:
    """SIGKILL in the middle of the work: whatever batch was under way, nothing is lost and nothing counts twice."""
    chance = random.Random(2)
    events = marketplace(2000)
    entries = scattered(list(events), chance)
    url = kafka_topic(4)
    append(url, entries[:1000])
    settings = {"EVENT_LOG_URL": url, "REDIS_URL": one_redis_url}
    with Process("run", cwd=tmp_path, **settings) as first, Process("run", cwd=tmp_path, **settings) as second:
        wait_until(lambda: sum(applied(client).values()) == 1000, 60, "the first thousand")
        wait_until(lambda: all("reading" in process.text() for process in (first, second)), 60, "both members")
        ends = append(url, entries[1000:])
        wait_until(lambda: sum(applied(client).values()) > 1500, 60, "some more")
        first.process.kill()
        at_kill = sum(applied(client).values())
        wait_until_applied(client, ends, 60)
        assert second.stop() == 0
    assert at_kill < len(entries), "killed when all was done: nothing was shown"
    model = readmodel.read(client)
    readmodel.check(model, events)
    readmodel.check_accounting(model, len(events))


def test_bad_events_are_parked_and_the_good_ones_around_them_applied(
    kafka_topic: Callable[[int], str], one_redis_url: str, client: "redis.Redis", tmp_path: Path
) -> None:
    url = kafka_topic(1)
    topic = url.split("/")[-1].split("?")[0]
    good = [good_event(number) for number in range(100, 100 + len(POISON))]
    alien = {**good_event(1), "type": "order.placed"}
    sent: list[Entry] = []
    for poison, event in zip(POISON, good, strict=True):
        sent.append(Entry(b"k", poison.value, poison.headers))
        sent.append(Entry(None, json.dumps(event).encode(), STRUCTURED))
    sent.append(Entry(None, json.dumps(alien).encode(), STRUCTURED))
    sent += [Entry(None, fine.value, fine.headers) for fine in FINE]
    ends = append(url, sent)
    with Process("run", cwd=tmp_path, EVENT_LOG_URL=url, REDIS_URL=one_redis_url) as run:
        wait_until_applied(client, ends)
        assert run.stop() == 0
    model = readmodel.read(client)
    assert len(model.parked) == len(POISON)
    for number, poison in enumerate(POISON):
        parked = json.loads(model.parked[f"{topic}/0@{2 * number}"])
        assert parked["reason"] == poison.reason
        assert (parked["topic"], parked["partition"], parked["offset"]) == (topic, 0, 2 * number)
        assert base64.b64decode(parked["key"]) == b"k"
        assert readmodel.parked_value(parked) == poison.value
        assert [(name, base64.b64decode(value)) for name, value in parked["headers"]] == list(poison.headers)
        assert datetime.fromisoformat(parked["time"]).year >= 2026
    readmodel.check_accounting(model, len(sent))
    assert model.tally[f"{topic}/0:passed_over"] == 1
    assert {event["data"]["order_group_id"] for event in good} <= set(model.documents)


def test_a_redis_that_loses_everything_is_filled_again_without_a_restart(
    kafka_topic: Callable[[int], str], one_redis_url: str, client: "redis.Redis", tmp_path: Path
) -> None:
    events = marketplace(100)
    entries = [Entry(None, json.dumps(event).encode(), STRUCTURED) for event in events]
    url = kafka_topic(2)
    with Process("run", cwd=tmp_path, EVENT_LOG_URL=url, REDIS_URL=one_redis_url) as run:
        wait_until_applied(client, append(url, entries[:-1]))
        client.flushdb()
        wait_until_applied(client, append(url, entries[-1:]))
        assert run.stop() == 0
        assert "lost writes" in run.text()
    readmodel.check(readmodel.read(client), events)


@pytest.mark.parametrize("lost", ["everything", "the live pointer"])
def test_a_loss_is_noticed_while_nothing_is_published(
    kafka_topic: Callable[[int], str], one_redis_url: str, client: "redis.Redis", tmp_path: Path, lost: str
) -> None:
    events = marketplace(100)
    url = kafka_topic(2)
    with Process("run", cwd=tmp_path, EVENT_LOG_URL=url, REDIS_URL=one_redis_url) as run:
        ends = append(url, [Entry(None, json.dumps(event).encode(), STRUCTURED) for event in events])
        wait_until_applied(client, ends)
        if lost == "everything":
            client.flushdb()
        else:
            client.delete("og:live")
        wait_until(lambda: client.exists("og:live") == 1 and applied(client) == ends, 30, "what was lost")
        assert run.stop() == 0
    readmodel.check(readmodel.read(client), events)


def test_sigterm_drains_within_five_seconds_even_without_redis(
    kafka_topic: Callable[[int], str], redis_home: RedisHome, tmp_path: Path
) -> None:
    url = kafka_topic(1)
    with (
        RedisServer(redis_home) as server,
        server.client() as client,
        Process("run", cwd=tmp_path, EVENT_LOG_URL=url, REDIS_URL=server.url) as run,
    ):
        wait_until_applied(client, append(url, [Entry(None, json.dumps(good_event(1)).encode(), STRUCTURED)]))
        server.kill()
        append(url, [Entry(None, json.dumps(good_event(2)).encode(), STRUCTURED)])
        wait_until(lambda: "Redis does not answer" in run.text(), 30, "the projector to notice")
        assert run.stop(timeout_s=5) == 0


def test_ready_means_caught_up_with_the_log_itself(
    kafka_topic: Callable[[int], str], one_redis_url: str, client: "redis.Redis", tmp_path: Path
) -> None:
    """The end is the broker's: what nobody has read yet counts, although no position of ours tells of it."""
    url = kafka_topic(2)
    entries = [Entry(None, json.dumps(event).encode(), STRUCTURED) for event in marketplace(50)]
    with Api(tmp_path, one_redis_url, READY_LAG_MAX="20") as api:

        def ready() -> int:
            return api.client.get("/health/ready").status_code

        assert ready() == 503, "nothing is live"
        with Process("run", cwd=tmp_path, EVENT_LOG_URL=url, REDIS_URL=one_redis_url) as run:
            ends = append(url, entries)
            wait_until_applied(client, ends)
            wait_until(
                lambda: client.hgetall(readmodel.PREFIX + "end") == client.hgetall(readmodel.PREFIX + "position"),
                10,
                "the end",
            )
            wait_until(lambda: ready() == 200, 10, "the text")
            assert run.stop() == 0
        key, partition = readmodel.PREFIX + "end", next(iter(ends))
        client.hset(key, partition, ends[partition] + 20)
        assert ready() == 200
        client.hset(key, partition, ends[partition] + 21)
        assert ready() == 503
