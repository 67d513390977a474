"""Events per second of `projector replay build`, the live path, a naive consumer, and polling and decoding alone.

    python -m bench.replay     BENCH_EVENTS (200 000) and BENCH_ROUNDS (2) change its size; results go to
                               BENCH_RESULTS (bench/results)

The naive consumer handles one event at a time: it loads the group, folds, and commits, with the same script.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from bench import runs
from bench.runs import Rounds, Run, rounds
from bench.stream import PARTITIONS, fill, live, progress, rate
from events.logs.log import Partition
from events.logs.open import open_log
from projector.project import decode_record, group_ids, project
from projector.rebuild.windows import POLL_RECORDS, WINDOW_RECORDS
from projector.store.commit import Advance, Outcome
from projector.store.nodes import Nodes
from projector.store.redis import Store
from projector.store.request import request
from tests.processes import Process
from tests.servers.kafka import MISSING_HOME, KafkaServer, kafka_home, new_topic
from tests.servers.redis import RedisServer

FULL = 200_000
EVENTS = int(os.environ.get("BENCH_EVENTS", FULL))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 2))
# The naive consumer is so slow that it gets a part of the events.
NAIVE_EVENTS = EVENTS // 40

READ, NAIVE, LIVE, ONE_WORKER, TWO_WORKERS = "poll and decode", "naive", "live", "1 worker", "2 workers"


class Way(Struct):
    """Events per second, and the ratios of its median to those of the others."""

    name: str
    rate: Rounds
    of_poll_and_decode: float
    of_naive: float
    of_live: float


class Report(Run):
    """`worker_kb`: the largest memory of any worker of a replay; 0 if the system does not report it."""

    events: int
    naive_events: int
    partitions: int
    rounds: int
    worker_kb: int
    ways: list[Way]


def main() -> None:
    home = kafka_home({})
    if home is None:
        # SQLite has one partition, so a second worker would have nothing to do.
        print(f"bench: replays need Kafka: {MISSING_HOME}.")
        return
    with (
        tempfile.TemporaryDirectory() as name,
        RedisServer(runs.redis_home()) as server,
        KafkaServer(home) as kafka,
    ):
        machine, folder = runs.machine(server.home, home), Path(name)
        url = new_topic(kafka.bootstrap, PARTITIONS)
        fill(url, "Kafka", EVENTS)
        build = Build(server, url, folder)
        measures: dict[str, Callable[[], float]] = {
            READ: lambda: rate(_poll_and_decode(url)),
            NAIVE: lambda: rate(_naive(server, url)),
            LIVE: lambda: live(server, url, folder, EVENTS),
            ONE_WORKER: lambda: build.rate(1),
            TWO_WORKERS: lambda: build.rate(2),
        }
        # In turns, so that noise affects all alike.
        each = [{way: measure() for way, measure in measures.items()} for _ in range(ROUNDS)]
    ways = _ways({way: rounds([some[way] for some in each]) for way in measures})
    found = Report(
        runs.now(), runs.commit(), machine, EVENTS, NAIVE_EVENTS, PARTITIONS, ROUNDS, build.memory_max_kb, ways
    )
    _show(found)
    print(runs.save("replay", EVENTS, FULL, found))


def _ways(rates: dict[str, Rounds]) -> list[Way]:
    def over(way: str, reference: str) -> float:
        return round(rates[way].median / rates[reference].median, 3)

    return [Way(way, found, over(way, READ), over(way, NAIVE), over(way, LIVE)) for way, found in rates.items()]


def _show(found: Report) -> None:
    machine = found.machine
    table = Table("", "events/s", "of poll + decode", "of naive", "of the live path")
    for way in found.ways:
        ratios = (way.of_poll_and_decode, way.of_naive, way.of_live)
        table.add_row(way.name, f"{way.rate.median:,.0f}", *(f"{ratio:.2f}" for ratio in ratios))
    console = Console()
    console.print(
        f"{found.events:,} events in {found.partitions} partitions of Kafka, {machine.redis}, "
        f"{machine.processors} processors, medians of {found.rounds} rounds"
    )
    console.print(table)
    console.print(f"largest worker: {found.worker_kb / 1024:,.0f} MiB")


def _poll_and_decode(url: str) -> Iterator[int]:
    with open_log(url, {}) as log:
        end = log.end()
        reader = log.read(log.first())
        while dict(reader.positions) != end:
            records = reader.poll(1.0, POLL_RECORDS, end)
            for record in records:
                decode_record(record)
            yield len(records)
        reader.close()


def _naive(server: RedisServer, url: str) -> Iterator[int]:
    with server.client() as client:
        client.flushall()
    store = Store(Nodes(server.url))
    generation = store.generation()
    stands: dict[Partition, int | None] = {}
    with open_log(url, {}) as log:
        reader = log.read(log.first())
        done, end = 0, log.end()
        while done < NAIVE_EVENTS:
            for record in reader.poll(1.0, POLL_RECORDS, end):
                decoded = [decode_record(record)]
                stored = store.load(generation, 0, group_ids(decoded))
                change = project(store.known(generation, 0, stored), decoded)
                advance = Advance(stands.get(record.partition), record.offset + 1)
                stands[record.partition] = advance.stop
                outcome = store.commit(generation, 0, request(change, {record.partition: advance})).outcome()
                assert outcome is Outcome.STORED, outcome
                done += 1
                yield 1
        reader.close()
    store.nodes.close()


class Build:
    """`projector replay build`, into an empty Redis."""

    def __init__(self, server: RedisServer, url: str, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self._settings = {"EVENT_LOG_URL": url, "REDIS_URL": server.url}
        self.memory_max_kb = 0

    def rate(self, workers: int) -> float:
        with self._server.client() as client:
            client.flushall()
            command = ("replay", "build", "--yes", "--workers", str(workers))
            with Process(*command, cwd=self._folder, **self._settings) as replay:
                found = rate(self._watched(progress(client, replay, EVENTS)), left_out=workers * WINDOW_RECORDS)
                assert replay.process.wait(60) == 0, replay.text()
        return found

    def _watched(self, steps: Iterator[int]) -> Iterator[int]:
        for events in steps:
            yield events
            self._record_memory()

    def _record_memory(self) -> None:
        """Notes the peak of each worker process; Linux only."""
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                if b"replay\0work\0" in (status.parent / "cmdline").read_bytes():
                    peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
                    self.memory_max_kb = max(self.memory_max_kb, int(peak.split()[1]))
            except FileNotFoundError:
                # The process has ended.
                continue


if __name__ == "__main__":
    main()
