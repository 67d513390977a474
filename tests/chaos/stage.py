"""A log that is written to, a read model that follows, a ledger of what was sent, and processes that can be armed."""

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
from tests.chaos.ledger import FATES, Found, Ledger
from tests.processes import Process, applied, live, projector
from tests.servers.process import wait_until

ARMED = str(Path(__file__).parent / "armed")
# After a fault, once log and Redis answer, the list lags behind for no longer, in seconds.
LAG_S = 30.0
CHUNK = 1000
# How long nothing is written at most while the read model is read.
STILL_MS = 10_000
# One of so many records is repeated, breaks the contract, is of a type that is not ours, or deletes an order.
REPEATED, BAD, ALIEN, DELETED = 20, 50, 50, 30

_BAD = [bad for bad in poison.POISON if len(bad.value or b"") < 10_000]


class Stage:
    """`exact`: the fate of every record is known before; see Ledger. A build that goes on where one was killed has seen
    some of its events before.
    """

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
        """The log: what it knew of the brokers may be of yesterday."""
        self.log.close()
        self.log = open_log(self.log_url, {})

    def publish(self, number: int) -> None:
        """Most are good, some come again, some are bad, some are not for us."""
        self.append([self._record() for _ in range(number)])

    def append(self, made: Sequence[tuple[Entry, Any]]) -> None:
        """Records, each with the event in it."""
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
            if chance.randrange(ALIEN) == 0:
                event = {**event, "type": "order.placed"}
            elif self._past and chance.randrange(DELETED) == 0:
                event = deleted(chance.choice(self._past), event)
            else:
                self._past.append(event)
        return good(event)

    def start(self, *arguments: str, **armed: object) -> Process:
        """`projector ...`; `fail_at="send:after"` and the like arm it, and its workers."""
        settings = dict(self.settings)
        if armed:
            settings |= {"PYTHONPATH": ARMED} | {name.upper(): str(value) for name, value in armed.items()}
        return Process(*arguments, cwd=self.folder, **settings)

    def model(self) -> readmodel.ReadModel:
        """Of one instant: Redis may yet have to run what a process sent before it was killed."""
        self.client.client_pause(STILL_MS, all=False)
        try:
            return readmodel.read(self.client, *live(self.client))
        finally:
            self.client.client_unpause()

    def generations(self) -> list[int]:
        return [int(number) for number in cast(dict[bytes, bytes], self.client.hgetall("{og:live}:generations"))]

    def applied(self) -> int:
        """Records, of all partitions."""
        return sum(applied(self.client, *live(self.client)).values()) if self.client.exists("og:live") else 0

    def check_now(self) -> None:
        """Whatever has happened: what is there is what the log has up to the positions that are there."""
        if self.client.exists("og:live"):
            self.ledger.check(found(self.model()), complete=False)

    def wait(self, timeout_s: float = LAG_S) -> None:
        """Until nothing lags."""
        wait_until(self._is_complete, timeout_s, "no lag")

    def check(self) -> None:
        """All of it is there, as independent code has it and as the log folded anew has it, byte for byte."""
        self.wait()
        model = self.model()
        self.ledger.check(found(model))
        for fate in FATES:
            assert any(model.tally.get(f"{name}:{fate}", 0) for name in model.positions), f"no record was {fate}"
        verified = projector("verify", cwd=self.folder, settings=self.settings)
        assert verified.returncode == 0, verified.stdout + verified.stderr

    def _is_complete(self) -> bool:
        return self.client.exists("og:live") == 1 and applied(self.client, *live(self.client)) == self.ledger.ends


def good(event: Mapping[str, Any]) -> tuple[Entry, Any]:
    """A record of an event that keeps the contract."""
    return Entry(event["data"]["order_group_id"].encode(), json.dumps(event).encode()), event


def deleted(event: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Of an order that was told of before: it is no more."""
    gone = {"id": event["data"]["id"], "order_group_id": event["data"]["order_group_id"], "version": 9}
    at = later["data"]["updated_at"]
    return {**later, "type": "order.updated", "data": {**gone, "updated_at": at, "deleted_at": at}}


def found(model: readmodel.ReadModel) -> Found:
    return Found(model.documents, model.entries, model.positions, model.tally, model.parked)
