"""Events a second of `projector run`, from Kafka and from SQLite, beside what its parts can do alone.

    python -m bench.projector          BENCH_EVENTS (100 000) and BENCH_ROUNDS (3) change its size

Floors: polling and decoding only (kafka-python or SQLite, and the contract's decoder), and the very same commits,
encoded beforehand, sent to Redis one after the other. No projector can be faster than the lower of the two, unless
it does both at once.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path

import msgspec
import redis
from rich.console import Console
from rich.progress import track
from rich.table import Table

from events.log import Partition, Position, Record
from events.open import open_log, sqlite_url
from events.publisher import entry_of
from events.sample import Marketplace
from projector.cache import Cache
from projector.project import decode_record, group_ids, known, project
from projector.run import BATCH_RECORDS_MAX, batches
from projector.store.commit import Advance, Outcome, request
from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests.processes import Process, applied
from tests.servers.kafka import MISSING, KafkaServer, kafka_home, new_topic
from tests.servers.redis import RedisServer, startable_homes

EVENTS = int(os.environ.get("BENCH_EVENTS", 100_000))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 3))
PARTITIONS = 4
_LOOK_AGAIN_S = 0.005

Request = list[str | bytes]


def main() -> None:
    console = Console()
    home = kafka_home({})
    if home is None:
        raise SystemExit(f"bench: {MISSING}")
    with (
        tempfile.TemporaryDirectory() as folder,
        RedisServer(startable_homes()[0]) as server,
        KafkaServer(home) as kafka,
    ):
        logs = {"Kafka": new_topic(kafka.bootstrap, PARTITIONS), "SQLite": sqlite_url(Path(folder) / "orders.db")}
        for name, url in logs.items():
            fill(url, name, EVENTS)
        console.print(f"{EVENTS:,} events, {server.home}, {os.cpu_count()} processors, medians of {ROUNDS} rounds")
        table = Table("log", "poll + decode", "commits alone", "projector", "of the lower floor")
        for name, url in logs.items():
            requests = list(_requests(url))
            read, write, whole = [], [], []
            for _ in range(ROUNDS):
                read.append(rate(_poll_and_decode(url)))
                write.append(rate(_commit(server, requests)))
                whole.append(_projector(server, url, Path(folder)))
            floors = statistics.median(read), statistics.median(write)
            ours = statistics.median(whole)
            table.add_row(name, *(f"{n:,.0f}/s" for n in (*floors, ours)), f"{ours / min(floors):.2f}")
        console.print(table)


def fill(url: str, name: str, events: int) -> None:
    shop = Marketplace(1, datetime(2026, 6, 1, tzinfo=UTC))
    history = islice(shop.history(), events)
    with open_log(url, {}) as log:
        log.create()
        for _ in track(range(0, events, 1000), f"publishing to {name}", transient=True):
            log.append([entry_of(msgspec.json.encode(event)) for event in islice(history, 1000)])


def _records(url: str) -> Iterator[list[Record]]:
    """What the projector polls, from the beginning."""
    with open_log(url, {}) as log:
        subscription = log.subscribe()
        seen = 0
        while seen < EVENTS:
            polled = subscription.poll(1.0, BATCH_RECORDS_MAX)
            for partition in polled.assigned:
                subscription.seek(Position(partition, 0))
            seen += len(polled.records)
            if polled.records:
                yield list(polled.records)
        subscription.close()


def _poll_and_decode(url: str) -> Iterator[int]:
    for records in _records(url):
        for record in records:
            decode_record(record)
        yield len(records)


def _requests(url: str) -> Iterator[tuple[int, Request]]:
    """The commits that the projector would send, with the events in each."""
    cache = Cache(EVENTS)
    stands: dict[Partition, int | None] = {}
    for batch in chain.from_iterable(batches(records) for records in _records(url)):
        decoded = [decode_record(record) for record in batch]
        before = {group_id: cache.take(group_id) or known(group_id, None) for group_id in group_ids(decoded)}
        change = project(before, decoded)
        cache.put(change.after)
        stops = {record.partition: record.offset + 1 for record in batch}
        advances = {partition: Advance(stands.get(partition), stop) for partition, stop in stops.items()}
        stands |= stops
        yield len(batch), request(change, advances)


def _commit(server: RedisServer, requests: Iterable[tuple[int, Request]]) -> Iterator[int]:
    with server.client() as client:
        client.flushall()
    store = Store(Nodes(server.url))
    generation = store.generation()
    for events, sent in requests:
        outcome = store.commit(generation, 0, sent).outcome()
        assert outcome is Outcome.STORED, outcome
        yield events
    store.nodes.close()


def rate(steps: Iterator[int]) -> float:
    """Events a second from the end of the first step, so that no start counts, to the end of the last."""
    next(steps)
    started_s = time.perf_counter()
    events = sum(steps)
    return events / (time.perf_counter() - started_s)


def _projector(server: RedisServer, url: str, folder: Path) -> float:
    with server.client() as client:
        client.flushall()
        settings = {"EVENT_LOG_URL": url, "REDIS_URL": server.url}
        with Process("run", cwd=folder, **settings) as run:
            found = rate(_progress(client))
            run.stop()
    return found


def _progress(client: "redis.Redis") -> Iterator[int]:
    seen = 0
    while seen < EVENTS:
        now = sum(applied(client).values())
        if now > seen:
            yield now - seen
            seen = now
        time.sleep(_LOOK_AGAIN_S)


if __name__ == "__main__":
    main()
