"""Makes events, writes them to a log, and measures rates."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import msgspec
import redis
from rich.progress import track

from events.logs.log import Entry
from events.logs.open import open_log, sqlite_url
from events.publisher import entry_of
from events.sample import Marketplace
from tests.processes import Process, applied
from tests.servers.kafka import MISSING_HOME, KafkaServer, kafka_home, new_topic
from tests.servers.redis import RedisServer

# Of the topic in Kafka.
PARTITIONS = 4
_APPEND_EVENTS = 1_000
_POLL_S = 0.005


@contextmanager
def logs(folder: Path) -> Iterator[dict[str, str]]:
    """Yields name -> URL: an SQLite log that does not exist yet, and an empty Kafka topic if Kafka is available."""
    urls, home = {"SQLite": sqlite_url(folder / "orders.db")}, kafka_home({})
    if home is None:
        print(f"Without Kafka: {MISSING_HOME}.")
        yield urls
        return
    with KafkaServer(home) as kafka:
        yield {"Kafka": new_topic(kafka.bootstrap, PARTITIONS), **urls}


def entries() -> Iterator[Entry]:
    """Yields the same endless events each time."""
    for event in Marketplace(1, datetime(2026, 6, 1, tzinfo=UTC), is_plain=True).history():
        yield entry_of(msgspec.json.encode(event))


def fill(url: str, name: str, events: int) -> None:
    history = islice(entries(), events)
    with open_log(url, {}) as log:
        log.create()
        for _ in track(range(0, events, _APPEND_EVENTS), f"publishing to {name}", transient=True):
            log.append(list(islice(history, _APPEND_EVENTS)))


def rate(steps: Iterator[int], left_out: int = 0) -> float:
    """Returns events per second from the end of the first step, which excludes the start, to the end of the last.

    `left_out`: this many events at both ends, or a step more, do not count either: of windows, the first are read
    before anything is written, and the last are written after all is read.
    """
    seen, at = 0, []
    for events in steps:
        seen += events
        at.append((seen, time.perf_counter()))
    timed = [one for one in at if max(left_out, 1) <= one[0] <= seen - left_out]
    if len(timed) < 2:
        raise SystemExit(f"bench: too few events to measure: {seen:,} in {len(at)} steps")
    (first, started_s), (last, ended_s) = timed[0], timed[-1]
    return (last - first) / (ended_s - started_s)


def progress(client: "redis.Redis", process: Process, events: int) -> Iterator[int]:
    """Yields the number of events applied since the last step, until all are."""
    seen = 0
    while seen < events:
        assert process.process.poll() in (None, 0), process.text()
        now = sum(applied(client).values())
        if now > seen:
            yield now - seen
            seen = now
        time.sleep(_POLL_S)


def live(server: RedisServer, url: str, folder: Path, events: int) -> float:
    """Returns events per second of `projector run`, into an empty Redis."""
    with server.client() as client:
        client.flushall()
        with Process("run", cwd=folder, EVENT_LOG_URL=url, REDIS_URL=server.url) as run:
            found = rate(progress(client, run, events))
            run.stop()
    return found
