"""The publisher of `projector up --demo`: first some history, then a checkout every CHECKOUTS_EVERY_S."""

import threading
from datetime import UTC, datetime
from itertools import islice

import msgspec

from events.errors import LogUnavailable
from events.logs.log import Log
from events.publisher import entry_of
from events.sample import Marketplace

HISTORY_EVENTS = 10_000
_CHUNK = 1_000
CHECKOUTS_EVERY_S = 0.5


class Demo(threading.Thread):
    """Publishes to `log`, and closes it in the end. `published`: events so far."""

    def __init__(self, log: Log) -> None:
        super().__init__(name="demo", daemon=True)
        self.published = 0
        self._log = log
        self._stopping = threading.Event()

    def run(self) -> None:
        now = datetime.now(UTC)
        shop = Marketplace(now.isoformat(), now)
        with self._log as log:
            if not any(log.end().values()):
                history = islice(shop.history(), HISTORY_EVENTS)
                while chunk := list(islice(history, _CHUNK)):
                    self._publish(chunk)
            while not self._stopping.wait(CHECKOUTS_EVERY_S):
                self._publish(list(shop.checkout(datetime.now(UTC))))

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def _publish(self, events: list[dict[str, object]]) -> None:
        entries = [entry_of(msgspec.json.encode(event)) for event in events]
        while not self._stopping.is_set():
            try:
                self._log.append(entries)
            except LogUnavailable:
                self._stopping.wait(1.0)
            else:
                self.published += len(entries)
                return
