"""The metrics of the API, over all its processes. docs/ops.md describes each."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import partial
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


class ExportEnd(StrEnum):
    """COMPLETE  all was sent
    CUT       Redis or the generation was gone, or this process stopped
    GONE      the client was
    """

    COMPLETE = "complete"
    CUT = "cut"
    GONE = "gone"


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
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry, multiprocess_mode="livesum")
        latest = partial(Gauge, registry=self.registry, multiprocess_mode="livemostrecent")
        self._requests = counter(
            "order_groups_api_requests", "Requests answered.", ("route", "method", "plan", "status")
        )
        self._durations = Histogram(
            "order_groups_api_request_duration_seconds",
            "From the complete head of a request to its answer.",
            ("route", "plan"),
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._refused = counter("order_groups_api_refused", "Requests and connections refused.", ("reason",))
        unavailable = counter(
            "order_groups_api_redis_unavailable",
            "Requests that Redis refused, or did not answer in time.",
            ("refusal",),
        )
        # All series exist from the start, so that the first refusal is an increase.
        self._unavailable = {refusal: unavailable.labels(refusal or "-") for refusal in (*Refusal, None)}
        self.log_lines_lost = counter(
            "order_groups_api_access_lines_lost", "Lines of the access log that could not be written."
        )
        self.jwks_failures = counter("order_groups_api_jwks_failures", "Regular readings of JWKS_URL that failed.")
        self.in_flight = gauge(
            "order_groups_api_requests_in_flight", "Requests that count against API_CONCURRENCY_MAX."
        )
        self.waiting = gauge("order_groups_api_waiting", "Requests that wait until their X-Min-Position is reached.")
        self.connections = gauge("order_groups_api_connections", "Open connections.")
        self.exports = gauge(
            "order_groups_api_exports_in_progress", "Exports that are being sent, which count against API_EXPORTS_MAX."
        )
        exports = counter("order_groups_api_exports", "Exports that ended.", ("end",))
        self._exports = {end: exports.labels(end) for end in ExportEnd}
        self._export_rows = counter("order_groups_api_export_rows", "Rows of exports that ended.")
        self.work = gauge("order_groups_api_work", "Cost of the lists in progress, which counts against API_WORK_MAX.")
        self.work_waiting = gauge("order_groups_api_work_waiting", "Lists that wait for their turn.")
        self.subscribers = gauge("order_groups_api_subscribers", "Open streams of changes.")
        self.followed_lists = gauge(
            "order_groups_api_followed_lists", "Different lists that subscribers follow, in each process."
        )
        self.events_sent = counter("order_groups_api_events_sent", "Events and heartbeats sent to subscribers.")
        self._lag = latest(
            "order_groups_api_lag",
            "Events between what is served and the end of the log that the projector stored last.",
        )
        self._end_age = latest(
            "order_groups_api_end_age_seconds", "Since the projector last stored the end of the log."
        )
        self._diverged = latest(
            "order_groups_api_log_diverged", "1 while the log holds other events than were applied."
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

    def exported(self, end: ExportEnd, rows: int) -> None:
        self._exports[end].inc()
        self._export_rows.inc(rows)

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
