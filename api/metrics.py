"""What operators see of the API, for one process. docs/ops.md tells each metric."""

from collections.abc import Callable
from math import inf, nan
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from api.engine import Behind

# Upper bounds of the duration histogram, in seconds.
BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

# Twice as many series, for the time at which each began.
disable_created_metrics()  # type: ignore[no-untyped-call]


class _Series(NamedTuple):
    add: Callable[[], None]
    observe: Callable[[float], None]


class Metrics:
    """Labels are bounded: the caller gives routes, not paths, and method classes, not methods."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
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
        self.redis_unavailable = Counter(
            "order_groups_api_redis_unavailable",
            "Requests that Redis did not answer in time, or not at all.",
            registry=self.registry,
        )
        self.log_lines_lost = Counter(
            "order_groups_api_access_lines_lost",
            "Lines of the access log that could not be written.",
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "order_groups_api_requests_in_flight",
            "Requests that count against API_CONCURRENCY_MAX.",
            registry=self.registry,
        )
        self.waiting = Gauge(
            "order_groups_api_waiting",
            "Requests that wait until their X-Min-Position is reached.",
            registry=self.registry,
        )
        self.connections = Gauge("order_groups_api_connections", "Open connections.", registry=self.registry)
        self._lag = Gauge(
            "order_groups_api_lag",
            "Events between what is served and the end of the log, as it was told last.",
            registry=self.registry,
            multiprocess_mode="livemostrecent",
        )
        self._end_age = Gauge(
            "order_groups_api_end_age_seconds",
            "Since the projector last told the end of the log.",
            registry=self.registry,
            multiprocess_mode="livemostrecent",
        )
        # Finding a child by its labels costs more than counting.
        self._series: dict[tuple[str, str, str, int], _Series] = {}

    def answered(self, route: str, method: str, plan: str, status: int, seconds: float) -> None:
        labels = (route, method, plan, status)
        series = self._series.get(labels)
        if series is None:
            add = self._requests.labels(route, method, plan, str(status)).inc
            series = self._series[labels] = _Series(add, self._durations.labels(route, plan).observe)
        series.add()
        series.observe(seconds)

    def see(self, behind: Behind | None) -> None:
        """With each scrape. None: nothing is live, so nothing was ever told."""
        self._lag.set(behind.lag if behind else nan)
        self._end_age.set(behind.end_age_s if behind else inf)

    def refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()

    def text(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type: OpenMetrics where `Accept` asks for it, else the older text."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
