"""What operators see of one projector. docs/ops.md tells each metric."""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from projector.continuity import Compared
from projector.health.pulse import Pulse
from projector.project import Fate
from projector.readmodel.client.refusals import Refusal
from projector.readmodel.schema.generations import Progress
from projector.store.aof import Rewrite
from projector.store.commit import Outcome

# Upper bounds of the histograms, in seconds.
BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
# Why the log is read again from where Redis stands.
REWINDS = ("lost_writes", "other_writer", "generation")
# What the comparison of the log with what was applied finds: see Compared.
LOG_CHECKS = ("same", "unknown", "diverged")

# Twice as many series, for the time at which each began.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Counted once a batch, never once an event."""

    def __init__(self, pulse: Pulse) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(_Gauges(pulse))
        records = Counter(
            "order_groups_projector_records", "Records, by what became of them.", ("fate",), registry=self.registry
        )
        commits = Counter(
            "order_groups_projector_commits", "Commits, by their outcome.", ("outcome",), registry=self.registry
        )
        rewinds = Counter(
            "order_groups_projector_rewinds",
            "How often the log was read again from where Redis stands.",
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
            "Rewrites of an append-only file of Redis that were due, by what became of them.",
            ("rewrite",),
            registry=self.registry,
        )
        self._checks = Counter(
            "order_groups_projector_checks", "Steps of the self-check, each of some groups.", registry=self.registry
        )
        self._checked_groups = Counter(
            "order_groups_projector_checked_groups", "Groups that the self-check looked at.", registry=self.registry
        )
        self._check_differences = Counter(
            "order_groups_projector_check_differences",
            "Parts of documents, index entries and bits that differ from what the group's state gives.",
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
            "A turn of the loop with records.",
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        checks = Counter(
            "order_groups_projector_log_checks",
            "Partitions of the log compared with what was applied of them, by what was found.",
            ("found",),
            registry=self.registry,
        )
        # All of them from the start, so that the first one is an increase; and found without a look at labels.
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
        """The exposition and its content type: OpenMetrics where `Accept` asks for it, else the older text."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class _Gauges(Collector):
    """Of the pulse, at the moment of the scrape."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse

    def collect(self) -> Iterable[Metric]:
        yield from (*self._of_the_loop(), *self._of_redis(), *_of_a_replay(self._pulse.seen.replay))

    def _of_the_loop(self) -> Iterator[Metric]:
        pulse = self._pulse
        yield _gauge("turn_age_seconds", "Since the loop last made a turn.", pulse.turn_age_s)
        yield _gauge("ready", "1 where /health/ready answers 200.", 0 if pulse.troubles() else 1)
        yield _gauge("standing_by", "1 while another version of the read model is live.", int(pulse.standing_by))
        yield _gauges("waiting_seconds", "How long it has been waiting by now.", "on", pulse.waited_s)
        yield _gauge("partitions", "Those that are ours.", len(pulse.owned or ()))
        lag, positions = pulse.lag, pulse.positions
        yield _gauges("lag", "Events between what is applied and the log's own end.", "partition", lag)
        held_back = pulse.held_back
        yield _gauges("held_back", "Events that an open transaction keeps from being read.", "partition", held_back)
        yield _gauge("held_back_seconds", "How long the first of them has been kept by now.", pulse.held_back_s)
        yield _gauges("position", "The next offset to apply.", "partition", positions)
        yield _gauge("end_age_seconds", "Since the log last told its end.", pulse.end_age_s)
        parked_bytes = pulse.parked_bytes
        yield _gauges("parked_bytes", "About what parked events take in Redis.", "partition", parked_bytes)
        age_s = pulse.oldest_unapplied_s(time.time() * 1000)
        yield _gauge("oldest_unapplied_seconds", "Age of the oldest event that was read and is not stored.", age_s)

    def _of_redis(self) -> Iterator[Metric]:
        seen = self._pulse.seen
        number = float("nan") if seen.generation is None else seen.generation
        yield _gauge("generation", "The number of the one that is written.", number)
        yield _gauges("generations", "How many there are of each state.", "state", seen.states)
        yield _gauge("parked", "Events that are parked in the live generation.", seen.parked)


def _of_a_replay(replay: Progress | None) -> Iterator[Metric]:
    done = {} if replay is None else {replay.step: replay.done}
    expected = {} if replay is None else {replay.step: replay.total}
    prefix = "order_groups_replay_"
    yield _gauge("under_way", "1 while somebody replays.", int(replay is not None), prefix)
    yield _gauges("done", "Events or groups that the step has done.", "step", done, prefix)
    yield _gauges("expected", "Events or groups that the step has to do.", "step", expected, prefix)


def _gauge(name: str, what: str, value: float, prefix: str = "order_groups_projector_") -> GaugeMetricFamily:
    return GaugeMetricFamily(prefix + name, what, value=value)


def _gauges(
    name: str, what: str, label: str, values: Mapping[Any, float], prefix: str = "order_groups_projector_"
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(prefix + name, what, labels=(label,))
    for key, value in values.items():
        family.add_metric((str(key),), value)
    return family
