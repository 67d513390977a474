"""Events a second of `projector replay build`, beside the live path, a naive consumer, and polling and decoding alone.

    python -m bench.replay          BENCH_EVENTS (200 000) and BENCH_ROUNDS (3) change its size

The naive consumer handles each event on its own: it loads the group, folds, and commits, with the very same script.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import redis
from rich.console import Console
from rich.table import Table

from bench.projector import EVENTS as PROJECTOR_EVENTS
from bench.projector import fill, rate
from events.log import Partition
from events.open import open_log
from projector.project import decode_record, group_ids, known, project
from projector.rebuild.builder import POLL_RECORDS
from projector.store.commit import Advance, Outcome, request
from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests.processes import Process, applied
from tests.servers.kafka import MISSING, KafkaServer, kafka_home, new_topic
from tests.servers.redis import RedisServer, startable_homes

EVENTS = int(os.environ.get("BENCH_EVENTS", 2 * PROJECTOR_EVENTS))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 3))
PARTITIONS = 4
NAIVE_EVENTS = 10_000
_LOOK_AGAIN_S = 0.005


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
        url = new_topic(kafka.bootstrap, PARTITIONS)
        fill(url, "Kafka", EVENTS)
        build = Build(server, url, Path(folder))
        ways: dict[str, Callable[[], float]] = {
            "poll + decode": lambda: rate(_poll_and_decode(url)),
            "naive": lambda: rate(_naive(server, url)),
            "live": lambda: build.live(),
            "replay, 1 worker": lambda: build.replay(1),
            "replay, 2 workers": lambda: build.replay(2),
        }
        rates = {way: statistics.median(measure() for _ in range(ROUNDS)) for way, measure in ways.items()}
    console.print(f"{EVENTS:,} events in {PARTITIONS} partitions of Kafka, {server.home}, {os.cpu_count()} processors")
    table = Table("", "events/s", "of poll + decode", "of the live path", "of naive")
    for way, found in rates.items():
        ratios = (f"{found / rates[other]:.2f}" for other in ("poll + decode", "live", "naive"))
        table.add_row(way, f"{found:,.0f}", *ratios)
    console.print(table)
    console.print(f"largest worker: {build.memory_max_kb / 1024:,.0f} MiB")


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
                states = store.load(generation, 0, group_ids(decoded))
                change = project({i: known(i, state) for i, state in states.items()}, decoded)
                advance = Advance(stands.get(record.partition), record.offset + 1)
                stands[record.partition] = advance.stop
                outcome = store.commit(generation, 0, request(change, {record.partition: advance})).outcome()
                assert outcome is Outcome.STORED, outcome
                done += 1
                yield 1
        reader.close()
    store.nodes.close()


class Build:
    def __init__(self, server: RedisServer, url: str, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self._settings = {"EVENT_LOG_URL": url, "REDIS_URL": server.url}
        self.memory_max_kb = 0

    def live(self) -> float:
        with self._server.client() as client:
            client.flushall()
            with Process("run", cwd=self._folder, **self._settings) as run:
                found = rate(self._progress(client, run))
                run.stop()
        return found

    def replay(self, workers: int) -> float:
        """Into an empty Redis."""
        with self._server.client() as client:
            client.flushall()
            command = ("replay", "build", "--yes", "--workers", str(workers))
            with Process(*command, cwd=self._folder, **self._settings) as replay:
                found = rate(self._progress(client, replay))
                assert replay.process.wait(60) == 0, replay.text()
        return found

    def _progress(self, client: "redis.Redis", process: Process) -> Iterator[int]:
        seen = 0
        while seen < EVENTS:
            assert process.process.poll() in (None, 0), process.text()
            now = sum(applied(client).values())
            if now > seen:
                yield now - seen
                seen = now
                self._look_at_memory()
            time.sleep(_LOOK_AGAIN_S)

    def _look_at_memory(self) -> None:
        """Of the processes that are at work on a replay; Linux alone tells."""
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                if b"replay\0work\0" in (status.parent / "cmdline").read_bytes():
                    peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
                    self.memory_max_kb = max(self.memory_max_kb, int(peak.split()[1]))
            except FileNotFoundError:
                # It has ended meanwhile.
                continue


if __name__ == "__main__":
    main()
