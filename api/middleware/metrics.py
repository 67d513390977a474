"""The metrics of the API, over all its processes. docs/ops.md describes each."""

from collections.abc import Callable, Iterable
from math import inf, nan
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from api.http.worker_slot import WorkerSlot, serving
from projector.readmodel.client.refusals import Refusal
from projector.readmodel.query.engine import Lag

# Upper bounds of the duration histogram, in seconds.
BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

# `_created` series would double the number of series.
disable_created_metrics()  # type: ignore[no-untyped-call]


class _Series(NamedTuple):
    add: Callable[[], None]
    observe: Callable[[float], None]


class Metrics:
    """Labels must have few values: callers pass route templates, not paths, and `other` for unusual methods.

    `slot`: that of this worker process, None if it is the only one. Workers share their counters by files, and each one
    publishes the sums.
    """

    def __init__(self, slot: WorkerSlot | None = None) -> None:
        self.registry = self._published = CollectorRegistry()
        if slot is None:
            ProcessCollector(registry=self.registry)
        else:
            slot.share_metrics()
            self._published = CollectorRegistry()
            MultiProcessCollector(self._published, str(slot.folder))  # type: ignore[no-untyped-call]
            self._published.register(_Processes(slot.folder))
        self._requests = Counter(
            "order_groups_api_requests",
            "Requests answered.",
            ("route", "method", "plan", "status"),
            registry=self.registry,
        )
        self._durations = Histogram(
            "order_groups_api_request_duration_seconds",
            "From the complete head of a request to its answer.",
            ("route", "plan"),
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._refused = Counter(
            "order_groups_api_refused", "Requests and connections refused.", ("reason",), registry=self.registry
        )
        unavailable = Counter(
            "order_groups_api_redis_unavailable",
            "Requests that Redis refused, or did not answer in time.",
            ("refusal",),
            registry=self.registry,
        )
        # All series exist from the start, so that the first refusal is an increase.
        self._unavailable = {refusal: unavailable.labels(refusal or "-") for refusal in (*Refusal, None)}
        self.log_lines_lost = Counter(
            "order_groups_api_access_lines_lost",
            "Lines of the access log that could not be written.",
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "order_groups_api_requests_in_flight",
            "Requests that count against API_CONCURRENCY_MAX.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.waiting = Gauge(
            "order_groups_api_waiting",
            "Requests that wait until their X-Min-Position is reached.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.connections = Gauge(
            "order_groups_api_connections",
            "Open connections.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self._lag = Gauge(
            "order_groups_api_lag",
            "Events between what is served and the end of the log that the projector stored last.",
            registry=self.registry,
            multiprocess_mode="livemostrecent",
        )
        self._end_age = Gauge(
            "order_groups_api_end_age_seconds",
            "Since the projector last stored the end of the log.",
            registry=self.registry,
            multiprocess_mode="livemostrecent",
        )
        self._diverged = Gauge(
            "order_groups_api_log_diverged",
            "1 while the log holds other events than were applied.",
            registry=self.registry,
            multiprocess_mode="livemostrecent",
        )
        self._watched: list[tuple[Gauge, Callable[[], float]]] = []
        # prometheus_client's look-up by labels costs more than counting.
        self._series: dict[tuple[str, str, str, int], _Series] = {}

    def answered(self, route: str, method: str, plan: str, status: int, seconds: float) -> None:
        labels = (route, method, plan, status)
        series = self._series.get(labels)
        if series is None:
            add = self._requests.labels(route, method, plan, str(status)).inc
            series = self._series[labels] = _Series(add, self._durations.labels(route, plan).observe)
        series.add()
        series.observe(seconds)

    def set_lag(self, lag: Lag | None) -> None:
        """Called at each scrape. None: no generation is live."""
        self._lag.set(lag.events if lag else nan)
        self._end_age.set(lag.end_age_s if lag else inf)
        self._diverged.set(lag.diverged if lag else 0)

    def refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()

    def unavailable(self, refusal: Refusal | None) -> None:
        self._unavailable[refusal].inc()

    def watch(self, gauge: Gauge, read: Callable[[], float]) -> None:
        self._watched.append((gauge, read))

    def update_watched(self) -> None:
        """Sets the watched gauges. Workers call it often, since any of them may publish."""
        for gauge, read in self._watched:
            gauge.set(read())

    def text(self, accept: str) -> tuple[bytes, str]:
        """Returns the exposition and its content type: OpenMetrics if `Accept` has it, else the text format."""
        self.update_watched()
        encode, content_type = choose_encoder(accept)
        return encode(self._published), content_type


class _Processes(Collector):
    """The metrics of ProcessCollector, of each worker."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        found: dict[str, Metric] = {}
        for number, process in serving(self._folder).items():
            for metric in _of(process):
                whole = found.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
                for sample in metric.samples:
                    whole.add_sample(sample.name, {"worker": str(number)}, sample.value)
        return found.values()


def _of(process: int) -> Iterable[Metric]:
    return ProcessCollector(pid=lambda: process, registry=None).collect()
