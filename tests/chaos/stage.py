"""A log to publish to, its read model, a ledger of the records sent, and processes with fail points."""

import json
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import redis

from events.logs.log import Entry
from events.logs.open import open_log
from events.sample import Marketplace
from tests import poison, readmodel
from tests.chaos.ledger import FATES, Ledger
from tests.processes import Process, applied, live, projector
from tests.servers.process import wait_until

ARMED = str(Path(__file__).parent / "armed")
# The longest lag after a fault, once log and Redis answer, in seconds.
LAG_S = 30.0
CHUNK = 1000
# The longest pause of writes while the read model is read.
STILL_MS = 10_000
# One in so many records is repeated, breaks the contract, is of another type, or deletes an order.
REPEATED, BAD, OTHER_TYPE, DELETED = 20, 50, 50, 30

_BAD = [bad for bad in poison.POISON if len(bad.value or b"") < 10_000]


class Stage:
    """`exact`: see Ledger. Not exact is a build that resumes after a kill: it has applied some events before."""

    def __init__(
        self, folder: Path, redis_url: str, log_url: str | None = None, seed: int = 1, exact: bool = True
    ) -> None:
        self.folder = folder
        self.log_url = log_url or f"sqlite://{folder / 'orders.db'}"
        self.settings = {"EVENT_LOG_URL": self.log_url, "REDIS_URL": redis_url}
        self.client = redis.Redis.from_url(redis_url)
        self.log = open_log(self.log_url, {})
        self.ledger = Ledger(exact)
        self._chance = random.Random(seed)
        self._history = Marketplace(seed, datetime(2026, 6, 1, tzinfo=UTC)).history()
        self._past: list[Any] = []

    def __enter__(self) -> Self:
        self.log.create()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self.log.close()

    def reopen(self) -> None:
        """Reconnects the log: its metadata of the brokers may be outdated."""
        self.log.close()
        self.log = open_log(self.log_url, {})

    def publish(self, number: int) -> None:
        """Publishes records: most valid, some repeated, some invalid, some of other types."""
        self.append([self._record() for _ in range(number)])

    def append(self, made: Sequence[tuple[Entry, Any]]) -> None:
        """`made`: entries, each with its event."""
        for start in range(0, len(made), CHUNK):
            some = made[start : start + CHUNK]
            for (partition, stop), (_, event) in zip(self.log.append([entry for entry, _ in some]), some, strict=True):
                self.ledger.note(str(partition), stop - 1, event)

    def _record(self) -> tuple[Entry, Any]:
        chance = self._chance
        if chance.randrange(BAD) == 0:
            bad = chance.choice(_BAD)
            return Entry(b"bad", bad.value, bad.headers), None
        if self._past and chance.randrange(REPEATED) == 0:
            event = chance.choice(self._past)
        else:
            (event,) = islice(self._history, 1)
            if chance.randrange(OTHER_TYPE) == 0:
                event = {**event, "type": "order.placed"}
            elif self._past and chance.randrange(DELETED) == 0:
                event = deleted(chance.choice(self._past), event)
            else:
                self._past.append(event)
        return good(event)

    def start(self, *arguments: str, **armed: object) -> Process:
        """Starts `projector ...`. Options such as `fail_at="send:after"` arm it and its workers; see armed/."""
        settings = dict(self.settings)
        if armed:
            settings |= {"PYTHONPATH": ARMED} | {name.upper(): str(value) for name, value in armed.items()}
        return Process(*arguments, cwd=self.folder, **settings)

    def model(self) -> readmodel.ReadModel:
        """Reads a snapshot: writes are paused, since Redis may still run commands of a killed process."""
        self.client.client_pause(STILL_MS, all=False)
        try:
            return readmodel.read(self.client, *live(self.client))
        finally:
            self.client.client_unpause()

    def generations(self) -> list[int]:
        return [int(number) for number in cast(dict[bytes, bytes], self.client.hgetall("{og:live}:generations"))]

    def applied(self) -> int:
        """Returns the number of applied records of all partitions."""
        return sum(applied(self.client, *live(self.client)).values()) if self.client.exists("og:live") else 0

    def check_now(self) -> None:
        """Checks that the read model equals the log up to its positions, whatever these are."""
        if self.client.exists("og:live"):
            self.ledger.check(self.model(), complete=False)

    def wait(self, timeout_s: float = LAG_S) -> None:
        """Waits until everything is applied."""
        wait_until(self._is_complete, timeout_s, "no lag")

    def check(self) -> None:
        """Checks that everything is applied: against the ledger, and by `projector verify`, byte for byte."""
        self.wait()
        model = self.model()
        self.ledger.check(model)
        for fate in FATES:
            assert any(model.tally.get(f"{name}:{fate}", 0) for name in model.positions), f"no record was {fate}"
        verified = projector("verify", cwd=self.folder, settings=self.settings)
        assert verified.returncode == 0, verified.stdout + verified.stderr

    def _is_complete(self) -> bool:
        return self.client.exists("og:live") == 1 and applied(self.client, *live(self.client)) == self.ledger.ends


def good(event: Mapping[str, Any]) -> tuple[Entry, Any]:
    """Returns the entry of a valid event, and the event."""
    return Entry(event["data"]["order_group_id"].encode(), json.dumps(event).encode()), event


def deleted(event: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an event that deletes the order of an earlier `event`, at the time of `later`."""
    order = {"id": event["data"]["id"], "order_group_id": event["data"]["order_group_id"], "version": 9}
    at = later["data"]["updated_at"]
    return {**later, "type": "order.updated", "data": {**order, "updated_at": at, "deleted_at": at}}
