"""The dead-letter topic, on a real broker: each parked event at least once, whatever happens to the topic."""

import json
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from kafka import KafkaAdminClient

from events.logs.kafka.log import KafkaLog
from events.logs.kafka.url import kafka_settings
from events.logs.log import Entry, Log, Position, Record
from events.logs.open import open_log, open_parked
from projector.parked import dead_letters
from projector.parked.listing import find
from projector.parked.redrive import discard
from projector.run import Projector
from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests import readmodel
from tests.poison import POISON, event
from tests.processes import Process, projector, wait_until_applied
from tests.servers.process import wait_until

DEAD_LETTERS_DUE = "{og:live}:untold"
GOOD = Entry(b"k", json.dumps(event(1)).encode())
OURS = ("parked-position", "parked-reason", "parked-at")


@pytest.fixture
def client(one_redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(one_redis_url) as client:
        yield client


def topic_of(url: str) -> str:
    return kafka_settings(url, {}).topic


def beside(url: str, topic: str) -> str:
    settings = kafka_settings(url, {})
    return f"kafka://{settings.servers[0]}/{topic}?partitions=1"


def append(url: str, entries: Sequence[Entry]) -> dict[str, int]:
    with open_log(url, {}) as log:
        log.append(entries)
        return {str(partition): end for partition, end in log.end().items()}


def read_all(url: str) -> list[Record]:
    with open_log(url, {}) as log:
        end = log.end()
        found: list[Record] = []
        with closing(log.read(dict.fromkeys(end, 0))) as reader:
            while any(reader.positions[partition] < offset for partition, offset in end.items()):
                found += reader.poll(1.0, 1000, end)
        return found


@contextmanager
def projecting(url: str, redis_url: str, wanted: str | None = None) -> Iterator[Projector]:
    """Runs a projector in a thread; its error fails the test."""
    stop, errors = threading.Event(), []
    topic = open_parked(url, {}, wanted)
    store = Store(Nodes(redis_url))
    with open_log(url, {}) as log:
        made = Projector(log, store, stop, parked_topic=topic)

        def run() -> None:
            try:
                made.run()
            except BaseException as error:
                errors.append(error)
                raise

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield made
        finally:
            stop.set()
            thread.join()
            store.nodes.close()
            if topic is not None:
                topic.close()
    assert errors == []


def check(found: Sequence[Record], sent: Sequence[Entry], topic: str, positions: Sequence[int]) -> None:
    """Checks key, value and headers, followed by our headers."""
    letters = {}
    for record in found:
        ours = dict(record.headers[-len(OURS) :])
        assert tuple(name for name, _ in record.headers[-len(OURS) :]) == OURS
        letters[ours["parked-position"].decode()] = record, ours
    assert sorted(letters) == sorted(f"{topic}/0@{offset}" for offset in positions)
    for offset in positions:
        record, _ = letters[f"{topic}/0@{offset}"]
        assert (record.key, record.value) == (sent[offset].key, sent[offset].value)
        assert record.headers[: -len(OURS)] == sent[offset].headers


def test_dead_letters_have_key_value_and_headers(
    kafka_topic: Callable[[int], str], one_redis_url: str, client: "redis.Redis", tmp_path: Path
) -> None:
    url = kafka_topic(1)
    sent = [GOOD, *(Entry(b"k", poison.value, poison.headers) for poison in POISON), GOOD]
    ends = append(url, sent)
    with Process("run", cwd=tmp_path, EVENT_LOG_URL=url, REDIS_URL=one_redis_url) as run:
        wait_until_applied(client, ends)
        assert run.stop() == 0
    found = read_all(beside(url, topic_of(url) + ".parked"))
    assert len(found) == len(POISON)
    check(found, sent, topic_of(url), range(1, 1 + len(POISON)))
    reasons = {dict(record.headers)["parked-reason"].decode() for record in found}
    assert reasons == {poison.reason for poison in POISON}
    model = readmodel.read(client)
    assert len(model.parked) == len(POISON)
    readmodel.check_accounting(model, len(sent))


def test_the_topic_can_be_named_or_off(kafka_topic: Callable[[int], str], tmp_path: Path) -> None:
    url = kafka_topic(1)
    for wanted, error in (("a/b", "expected 1 to 249 of a-z A-Z 0-9"), (topic_of(url), "expected another topic")):
        done = projector(
            *("run",), cwd=tmp_path, settings={"EVENT_LOG_URL": url, "REDIS_URL": "redis://x", "PARKED_TOPIC": wanted}
        )
        assert done.returncode == 2
        assert f"projector: PARKED_TOPIC: {error}" in done.stderr
    named = open_parked(url, {}, "poison")
    assert named is not None
    assert named.topic == "poison"
    assert open_parked("sqlite:///tmp/orders.db", {}, None) is None


def test_an_unavailable_topic_gets_everything_later(
    kafka: str,
    kafka_topic: Callable[[int], str],
    one_redis_url: str,
    client: "redis.Redis",
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Kafka makes no topic a.parked beside an a_parked."""
    monkeypatch.setattr(dead_letters, "RETRY_S", 0.2)
    url = kafka_topic(1)
    topic = topic_of(url)
    with KafkaLog(kafka_settings(beside(url, f"{topic}_parked"), {})) as in_the_way:
        in_the_way.create()
    sent = [GOOD, *(Entry(b"k", b"%d" % number) for number in range(1, 50)), GOOD]
    ends = append(url, sent)
    with projecting(url, one_redis_url):
        wait_until_applied(client, ends)
        assert client.scard(DEAD_LETTERS_DUE) == 49
        readmodel.check_accounting(readmodel.read(client), len(sent))
    assert capsys.readouterr().out.count("the dead-letter topic is unavailable") == 1
    # Another process takes over, after one event was discarded.
    store = Store(Nodes(one_redis_url))
    discard_one(store, f"{topic}/0@7")
    status = projector("status", "--json", cwd=Path.cwd(), settings={"EVENT_LOG_URL": url, "REDIS_URL": one_redis_url})
    assert json.loads(status.stdout)["untold"] == 49
    with projecting(url, one_redis_url):
        wait_until(lambda: "the dead-letter topic is unavailable" in capsys.readouterr().out, 10, "a warning")
        admin = KafkaAdminClient(bootstrap_servers=kafka)
        admin.delete_topics([f"{topic}_parked"])
        admin.close()
        wait_until(lambda: client.scard(DEAD_LETTERS_DUE) == 0, 30, "all to be produced")
        sent.append(Entry(None, b"last"))
        wait_until_applied(client, append(url, sent[-1:]))
    check(read_all(beside(url, f"{topic}.parked")), sent, topic, [*range(1, 7), *range(8, 50), 51])


def discard_one(store: Store, position: str) -> None:
    live = store.catalogue.live()
    assert live is not None
    assert discard(store, live, find(store, live, [position])) == [position]
    store.nodes.close()


def test_a_record_too_large_for_the_topic_blocks_nothing(
    kafka_topic: Callable[[int], str],
    one_redis_url: str,
    client: "redis.Redis",
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = kafka_topic(1)
    with KafkaLog(kafka_settings(beside(url, topic_of(url) + ".parked"), {}), record_bytes_max=2_000) as small:
        small.create()
    sent = [Entry(b"k", b"bad"), Entry(b"k", random.Random(1).randbytes(5_000)), Entry(b"k", b"bad too"), GOOD]
    with projecting(url, one_redis_url):
        wait_until_applied(client, append(url, sent))
    check(read_all(beside(url, topic_of(url) + ".parked")), sent, topic_of(url), [0, 2])
    assert client.scard(DEAD_LETTERS_DUE) == 0
    assert len(readmodel.read(client).parked) == 3
    assert capsys.readouterr().out.count("too large for the dead-letter topic") == 1


class Dying:
    """A topic whose process dies at the n-th append, before or after the records are stored."""

    def __init__(self, topic: Any, after: bool) -> None:
        self.topic = topic.topic
        self._topic = topic
        self._after = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._topic, name)

    def append(self, entries: Sequence[Entry]) -> list[Position]:
        if self._after:
            self._topic.append(entries)
        raise Died


class Died(Exception):
    pass


@pytest.mark.parametrize("after", [False, True])
def test_a_death_between_topic_and_redis_loses_nothing(
    kafka_topic: Callable[[int], str], one_redis_url: str, client: "redis.Redis", after: bool
) -> None:
    url = kafka_topic(1)
    sent = [GOOD, Entry(b"k", b"bad"), GOOD, Entry(None, b"bad too")]
    ends = append(url, sent)
    store = Store(Nodes(one_redis_url))
    topic = open_parked(url, {}, None)
    assert topic is not None
    topic.create()
    dying: Log = Dying(topic, after)
    with open_log(url, {}) as log, pytest.raises(Died):
        Projector(log, store, threading.Event(), parked_topic=dying).run()
    topic.close()
    store.nodes.close()
    assert readmodel.read(client).parked == {}
    with projecting(url, one_redis_url):
        wait_until_applied(client, ends)
    found = read_all(beside(url, topic_of(url) + ".parked"))
    # At least once; the position identifies duplicates.
    assert len(found) == (4 if after else 2)
    check(found, sent, topic_of(url), [1, 3])
