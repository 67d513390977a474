"""Prometheus metrics of one projector. docs/ops.md describes each metric."""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from projector.continuity import Compared
from projector.health.pulse import Pulse
from projector.readmodel.client.refusals import Refusal
from projector.readmodel.schema.generations import Progress
from projector.readmodel.schema.tally import Fate
from projector.store.aof import Rewrite
from projector.store.commit import Outcome

# Upper bounds of the histograms, in seconds.
BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
# Reasons for reading the log again from the positions in Redis.
REWINDS = ("lost_writes", "other_writer", "generation")
# Results of comparing the log with what was applied: see Compared.
LOG_CHECKS = ("same", "unknown", "diverged")

# They double the number of series.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Counters and histograms, updated once per batch."""

    def __init__(self, pulse: Pulse) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(_Gauges(pulse))
        records = Counter("order_groups_projector_records", "Records, by fate.", ("fate",), registry=self.registry)
        commits = Counter(
            "order_groups_projector_commits", "Commits, by their outcome.", ("outcome",), registry=self.registry
        )
        rewinds = Counter(
            "order_groups_projector_rewinds",
            "How often the log was read again from the positions in Redis.",
            ("reason",),
            registry=self.registry,
        )
        refusals = Counter(
            "order_groups_projector_redis_refusals",
            "Calls that Redis refused or did not answer, each attempt.",
            ("refusal",),
            registry=self.registry,
        )
        rewrites = Counter(
            "order_groups_projector_aof_rewrites",
            "Due rewrites of an append-only file of Redis, by result.",
            ("rewrite",),
            registry=self.registry,
        )
        self._checks = Counter(
            "order_groups_projector_checks", "Steps of the self-check, of some groups each.", registry=self.registry
        )
        self._checked_groups = Counter(
            "order_groups_projector_checked_groups", "Groups compared by the self-check.", registry=self.registry
        )
        self._check_differences = Counter(
            "order_groups_projector_check_differences",
            "Parts of documents, index entries and bits that differ from those computed from the group's record.",
            registry=self.registry,
        )
        self._commit_seconds = Histogram(
            "order_groups_projector_commit_duration_seconds",
            "From sending a commit to reading its answer.",
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._batch_seconds = Histogram(
            "order_groups_projector_batch_duration_seconds",
            "An iteration of the main loop with records.",
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        checks = Counter(
            "order_groups_projector_log_checks",
            "Comparisons of a partition of the log with what was applied, by result.",
            ("found",),
            registry=self.registry,
        )
        # All series exist from the start, so that the first count is an increase; and counting needs no label look-up.
        self._records = {fate: records.labels(fate.value) for fate in Fate}
        self._commits = {outcome: commits.labels(outcome.value) for outcome in Outcome}
        self._rewinds = {reason: rewinds.labels(reason) for reason in REWINDS}
        self._rewrites = {rewrite: rewrites.labels(rewrite.value) for rewrite in Rewrite}
        self._log_checks = {found: checks.labels(found) for found in LOG_CHECKS}
        self._refusals = {refusal: refusals.labels(refusal.value) for refusal in Refusal}

    def stored(self, tally: Mapping[str, Mapping[Fate, int]]) -> None:
        for fates in tally.values():
            for fate, records in fates.items():
                if records:
                    self._records[fate].inc(records)

    def answered(self, outcome: Outcome, seconds: float) -> None:
        self._commits[outcome].inc()
        self._commit_seconds.observe(seconds)

    def worked(self, seconds: float) -> None:
        self._batch_seconds.observe(seconds)

    def rewound(self, reason: str) -> None:
        self._rewinds[reason].inc()

    def refused(self, refusal: Refusal) -> None:
        self._refusals[refusal].inc()

    def rewritten(self, rewrite: Rewrite) -> None:
        self._rewrites[rewrite].inc()

    def checked(self, groups: int, differences: int) -> None:
        self._checks.inc()
        self._checked_groups.inc(groups)
        self._check_differences.inc(differences)

    def compared(self, found: Compared) -> None:
        for name in LOG_CHECKS:
            self._log_checks[name].inc(len(getattr(found, name)))

    def text(self, accept: str) -> tuple[bytes, str]:
        """Returns body and content type: OpenMetrics if `accept` admits it, else the Prometheus text format."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class _Gauges(Collector):
    """Gauges of the pulse, computed at each scrape."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse

    def collect(self) -> Iterable[Metric]:
        yield from (*self._of_the_loop(), *self._of_redis(), *_of_a_replay(self._pulse.redis_state.replay))

    def _of_the_loop(self) -> Iterator[Metric]:
        pulse = self._pulse
        yield _gauge("turn_age_seconds", "Time since the last iteration of the main loop.", pulse.turn_age_s)
        yield _gauge("ready", "1 where /health/ready answers 200.", 0 if pulse.problems() else 1)
        yield _gauge("standing_by", "1 while another version of the read model is live.", int(pulse.standing_by))
        yield _gauges("waiting_seconds", "How long the projector has been waiting.", "on", pulse.waited_s)
        yield _gauge("partitions", "Partitions assigned to this projector.", len(pulse.owned or ()))
        lag, positions = pulse.lag, pulse.positions
        yield _gauges("lag", "Events between what is applied and the log's own end.", "partition", lag)
        held_back = pulse.held_back
        yield _gauges("held_back", "Events that an open transaction keeps from being read.", "partition", held_back)
        yield _gauge("held_back_seconds", "How long the first of them has been held back.", pulse.held_back_s)
        yield _gauges("position", "The next offset to apply.", "partition", positions)
        yield _gauge("end_age_seconds", "Age of the last known end of the log.", pulse.end_age_s)
        parked_bytes = pulse.parked_bytes
        yield _gauges("parked_bytes", "Approximate size of parked events in Redis.", "partition", parked_bytes)
        age_s = pulse.oldest_unapplied_s(time.time() * 1000)
        yield _gauge("oldest_unapplied_seconds", "Age of the oldest event that was read and is not stored.", age_s)

    def _of_redis(self) -> Iterator[Metric]:
        seen = self._pulse.redis_state
        number = float("nan") if seen.generation is None else seen.generation
        yield _gauge("generation", "The number of the generation being written.", number)
        yield _gauges("generations", "Generations, by state.", "state", seen.states)
        yield _gauge("parked", "Parked events of the live generation.", seen.parked)
        yield _gauge("paused_partitions", "Partitions that wait at a limit of parked events.", seen.paused)
        due = seen.dead_letters_due
        yield _gauge("dead_letters_due", "Parked events that are not in the dead-letter topic yet.", due)
        used, limit = ({server: filled[i] for server, filled in seen.memory.items()} for i in (0, 1))
        yield _gauges("redis_memory_bytes", "Memory that Redis uses, by master.", "server", used)
        yield _gauges("redis_memory_limit_bytes", "Its maxmemory, or its machine's memory.", "server", limit)


def _of_a_replay(replay: Progress | None) -> Iterator[Metric]:
    done = {} if replay is None else {replay.step: replay.done}
    expected = {} if replay is None else {replay.step: replay.total}
    prefix = "order_groups_replay_"
    yield _gauge("under_way", "1 while a replay runs.", int(replay is not None), prefix)
    yield _gauges("done", "Events or groups processed by the step.", "step", done, prefix)
    yield _gauges("expected", "Events or groups to process in the step.", "step", expected, prefix)


def _gauge(name: str, what: str, value: float, prefix: str = "order_groups_projector_") -> GaugeMetricFamily:
    return GaugeMetricFamily(prefix + name, what, value=value)


def _gauges(
    name: str, what: str, label: str, values: Mapping[Any, float], prefix: str = "order_groups_projector_"
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(prefix + name, what, labels=(label,))
    for key, value in values.items():
        family.add_metric((str(key),), value)
    return family
