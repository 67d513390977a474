"""The state of a relay, for its health port: the relay writes it, a thread reads it. And its metrics."""

import time
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

# A relay without a turn for so long is stuck, in seconds: appends and queries end sooner.
TURN_MAX_S = 120.0
# The age of the oldest note above which /health/ready answers 503, in seconds. Notes of bulk work do not count.
OLDEST_MAX_S = 60.0
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Waiting(Struct, frozen=True):
    """An outage. `on`: source or log."""

    on: str
    reason: str
    since_s: float


class Backlog(Struct, frozen=True):
    """`notes`, `bulk`: how many wait. `oldest_s`: age of the oldest that is not bulk work, in seconds."""

    notes: int = 0
    bulk: int = 0
    oldest_s: float = 0.0


class Watch:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turned_at_s = clock()
        self.waiting: Waiting | None = None
        # Whether this relay has the lock; of several relays one works.
        self.works = False
        self.backlog = Backlog()
        self.problems_of_source: Sequence[str] = ()
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(_Gauges(self))
        self._events = Counter("order_groups_source_events", "Events published.", registry=self.registry)
        self._failures = Counter(
            "order_groups_source_failures", "Turns that failed, by what failed.", ("on",), registry=self.registry
        )
        for on in ("source", "log"):
            self._failures.labels(on)
        self._turn_seconds = Histogram(
            "order_groups_source_turn_duration_seconds",
            "From reading notes to deleting them.",
            buckets=_BUCKETS_S,
            registry=self.registry,
        )

    # --- written by the relay ---

    def turn(self) -> None:
        self._turned_at_s = self._clock()

    def wait(self, on: str, reason: str) -> None:
        """Called after every failed turn."""
        self.turn()
        self._failures.labels(on).inc()
        self.waiting = Waiting(on, reason, self.waiting.since_s if self.waiting else self._clock())

    def resume(self) -> float:
        """Ends the outage. Returns its length in seconds."""
        waiting, self.waiting = self.waiting, None
        return self._clock() - waiting.since_s if waiting else 0.0

    def published(self, events: int, seconds: float) -> None:
        self._events.inc(events)
        self._turn_seconds.observe(seconds)

    # --- read by the health port ---

    @property
    def turn_age_s(self) -> float:
        return self._clock() - self._turned_at_s

    @property
    def waited_s(self) -> float:
        waiting = self.waiting
        return self._clock() - waiting.since_s if waiting else 0.0

    def is_live(self) -> bool:
        """Returns False where a restart may help."""
        return self.turn_age_s <= TURN_MAX_S

    def problems(self) -> list[str]:
        """Returns why the relay is not ready; an empty list if it is, also while another relay works."""
        found = [] if self.is_live() else [f"the relay has been stuck for {self.turn_age_s:.0f} s"]
        if waiting := self.waiting:
            found.append(f"waiting for {waiting.on}: {waiting.reason}")
        if self.works and self.backlog.oldest_s > OLDEST_MAX_S:
            found.append(f"{self.backlog.notes} notes wait, the oldest for {self.backlog.oldest_s:.0f} s")
        return [*found, *self.problems_of_source]

    def text(self, accept: str) -> tuple[bytes, str]:
        """Returns body and content type: OpenMetrics if `accept` admits it, else the Prometheus text format."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class _Gauges(Collector):
    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def collect(self) -> Iterable[Metric]:
        watch, backlog = self._watch, self._watch.backlog
        yield _gauge("turn_age_seconds", "Time since the last turn of the relay.", watch.turn_age_s)
        yield _gauge("ready", "1 where /health/ready answers 200.", 0 if watch.problems() else 1)
        yield _gauge("works", "1 if this relay works, 0 if another one does.", int(watch.works))
        yield _gauge("waiting_seconds", "How long it has been waiting for the database or the log.", watch.waited_s)
        yield _gauge("notes", "Notes that wait, those of bulk work apart.", backlog.notes)
        yield _gauge("bulk_notes", "Notes of bulk work that wait.", backlog.bulk)
        yield _gauge("oldest_seconds", "Age of the oldest note that is not bulk work.", backlog.oldest_s)
        bypassed = len(watch.problems_of_source)
        yield _gauge("problems", "Reasons why changes may be missing, as `projector source status` says.", bypassed)


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"order_groups_source_{name}", what, value=value)
