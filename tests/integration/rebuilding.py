"""A Shop: a log of which the test knows every event, a Redis, and the commands that rebuild Redis from the log."""

import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from events.logs.log import Entry, Log
from events.logs.open import open_log
from events.publisher import entry_of
from events.sample import Marketplace
from tests import oracle, readmodel
from tests.processes import Process, live, projector, wait_until_applied
from tests.servers.cluster import Place

CHUNK = 1000


class Shop:
    def __init__(self, folder: Path, redis: Place | str, log_url: str | None = None, seed: int = 1) -> None:
        self.folder = folder
        self.place = redis if isinstance(redis, Place) else Place(redis, is_cluster=False)
        self.log_url = log_url or f"sqlite://{folder / 'orders.db'}"
        self.settings = {"EVENT_LOG_URL": self.log_url, "REDIS_URL": self.place.url}
        self.events: list[oracle.Event] = []
        self.ends: dict[str, int] = {}
        self._history = Marketplace(seed, datetime(2026, 6, 1, tzinfo=UTC)).history()

    def publish(self, number: int) -> None:
        with open_log(self.log_url, {}) as log:
            log.create()
            self.publish_to(log, number)

    def publish_to(self, log: Log, number: int) -> None:
        events = list(islice(self._history, number))
        for start in range(0, number, CHUNK):
            self._append(log, [entry_of(json.dumps(event).encode()) for event in events[start : start + CHUNK]])
        self.events += events

    def append(self, entries: Sequence[Entry]) -> None:
        """Appends entries that the oracle does not know."""
        with open_log(self.log_url, {}) as log:
            log.create()
            self._append(log, entries)

    def _append(self, log: Log, entries: Sequence[Entry]) -> None:
        for partition, offset in log.append(entries):
            self.ends[str(partition)] = max(offset, self.ends.get(str(partition), 0))

    def run(self, *arguments: str) -> Process:
        """Starts `projector run`."""
        return Process("run", *arguments, cwd=self.folder, **self.settings)

    def start_replay(self, *arguments: str) -> Process:
        return Process("replay", *arguments, cwd=self.folder, **self.settings)

    def replay(self, *arguments: str, fails: int = 0) -> "subprocess.CompletedProcess[str]":
        done = projector("replay", *arguments, cwd=self.folder, settings=self.settings)
        assert done.returncode == fails, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def steps(self, *arguments: str) -> dict[str, Any]:
        """Returns the JSON output of a replay: step -> its result."""
        results = [json.loads(line) for line in self.replay(*arguments, "--json").stdout.splitlines()]
        return {result["step"]: result for result in results}

    def states(self) -> dict[int, str]:
        """Returns generation -> its state."""
        return {one["number"]: one["state"] for one in json.loads(self.replay("list", "--json").stdout)}

    def wait(self, timeout_s: float = 60.0) -> None:
        """Waits until the live generation reflects all published events."""
        with self.place.client() as client:
            wait_until_applied(client, self.ends, timeout_s)

    def live(self) -> tuple[int, int]:
        with self.place.client() as client:
            return live(client)

    def model(self, number: int | None = None, shards: int = 1) -> readmodel.ReadModel:
        """Reads a generation, by default the live one."""
        with self.place.client() as client:
            return readmodel.read(client, *((number, shards) if number is not None else live(client)))

    def check(self) -> None:
        """Asserts that the live generation has what independent code makes of all events, and accounts for each."""
        model = self.model()
        readmodel.check(model, self.events)
        assert model.positions == self.ends
        readmodel.check_accounting(model, sum(self.ends.values()))

    def groups(self, number: int) -> int:
        """Returns the number of groups with a row in a generation of one shard, whatever its positions."""
        with self.place.client() as client:
            return int(client.hlen(readmodel.prefixes(number, 1)[0] + "row"))


def content(model: readmodel.ReadModel) -> tuple[object, ...]:
    """Returns all content, independent of number, shards and times of parking."""
    parked = {name: {**json.loads(record), "parked_at": None} for name, record in model.parked.items()}
    return model.documents, model.entries, model.texts, parked
