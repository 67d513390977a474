"""Events per second of `projector run`, from Kafka and from SQLite, and of its parts alone.

    python -m bench.projector     BENCH_EVENTS (100 000) and BENCH_ROUNDS (3) change its size; results go to
                                  BENCH_RESULTS (bench/results)

Ceilings: polling and decoding only (kafka-python or SQLite, and the contract's decoder), and the same commits, encoded
beforehand, sent to Redis one after the other. A projector can exceed the lower of the two only by doing both at once.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain, count
from pathlib import Path

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from bench import runs
from bench.runs import Rounds, Run, rounds
from bench.stream import PARTITIONS, fill, live, logs, rate
from events.logs.log import Partition, Position, Record
from events.logs.open import open_log
from projector.batches import POLL_RECORDS_MAX, batches
from projector.cache import Cache
from projector.project import decode_record, group_ids, new, project
from projector.store.commit import Advance, Outcome
from projector.store.nodes import Nodes
from projector.store.redis import Store
from projector.store.request import request
from tests.servers.kafka import kafka_home
from tests.servers.redis import RedisServer

FULL = 100_000
EVENTS = int(os.environ.get("BENCH_EVENTS", FULL))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 3))

Request = list[str | bytes]


class FromLog(Struct):
    """Events per second. `of_lower`: the projector's rate over the lower of the two ceilings."""

    name: str
    poll_and_decode: Rounds
    commits: Rounds
    projector: Rounds
    of_lower: float


class Report(Run):
    events: int
    partitions: int
    rounds: int
    logs: list[FromLog]


def main() -> None:
    with tempfile.TemporaryDirectory() as name, RedisServer(runs.redis_home()) as server:
        machine, folder = runs.machine(server.home, kafka_home({})), Path(name)
        with logs(folder) as urls:
            for log, url in urls.items():
                fill(url, log, EVENTS)
            measured = [_measure(log, server, url, folder) for log, url in urls.items()]
    found = Report(runs.now(), runs.commit(), machine, EVENTS, PARTITIONS, ROUNDS, measured)
    _show(found)
    print(runs.save("projector", EVENTS, FULL, found))


def _measure(name: str, server: RedisServer, url: str, folder: Path) -> FromLog:
    requests = list(_requests(url))
    each = [
        (rate(_poll_and_decode(url)), rate(_commit(server, requests)), live(server, url, folder, EVENTS))
        for _ in range(ROUNDS)
    ]
    read, write, ours = (rounds(values) for values in zip(*each, strict=True))
    return FromLog(name, read, write, ours, round(ours.median / min(read.median, write.median), 3))


def _show(found: Report) -> None:
    machine = found.machine
    table = Table("log", "poll + decode", "commits alone", "projector", "of the lower ceiling")
    for log in found.logs:
        rates = (log.poll_and_decode, log.commits, log.projector)
        table.add_row(log.name, *(f"{one.median:,.0f}/s" for one in rates), f"{log.of_lower:.2f}")
    console = Console()
    console.print(
        f"{found.events:,} events, {machine.redis}, {machine.processors} processors, medians of {found.rounds} rounds"
    )
    console.print(table)


def _records(url: str) -> Iterator[list[Record]]:
    """Yields what the projector polls, from the beginning."""
    with open_log(url, {}) as log:
        subscription = log.subscribe()
        seen = 0
        while seen < EVENTS:
            polled = subscription.poll(1.0, POLL_RECORDS_MAX)
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
    """Yields (number of events, commit) as the projector would send them."""
    cache = Cache(EVENTS)
    stands: dict[Partition, int | None] = {}
    ordinals = count()
    for batch in chain.from_iterable(batches(records) for records in _records(url)):
        decoded = [decode_record(record) for record in batch]
        before = {group_id: cache.take(group_id) or new(next(ordinals)) for group_id in group_ids(decoded)}
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


if __name__ == "__main__":
    main()
