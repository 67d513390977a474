"""Compares a generation with the log, and the live generation with a new one."""

import time
from collections.abc import Mapping
from contextlib import closing

from msgspec import Struct

from events.errors import LogDiverged, LogGap
from events.logs.log import Log
from projector.continuity import REBUILD, compare
from projector.errors import FatalError
from projector.readmodel.schema.keys import VERSION, Generation
from projector.rebuild.builder import Builder
from projector.retry import Retry
from projector.store.redis import Store
from projector.verify.alignment import Alignment
from projector.verify.comparison import Comparison, ReportProgress
from projector.verify.difference import Difference
from projector.verify.expected import BuiltGeneration, Expected, Refold
from projector.verify.sample import ALL, Sample
from projector.verify.settling import Findings
from projector.verify.shards import Positions, Shards, lowest_positions
from projector.verify.snapshot import KINDS, Totals
from projector.verify.tables import Tables


class Count(Struct, frozen=True):
    """Members of all sets or hashes of one kind: `by:created_at`, `of:status` for all statuses, `row`."""

    kind: str
    expected: int
    found: int


class Report(Struct, frozen=True):
    """Of `generation`, compared with the generation `expected_from`, or with the log if that is None.

    `positions`, `until`: every group was compared as of `positions` or, if it changed, as of positions up to `until`.
    `sample`: the share of the groups that was compared. Below 1, unexpected members of sets are not found.
    `groups`, `entries`: expected numbers, of the sample. `again`: how often a group was compared again.
    `events`: folded from the log; 0 between generations. `parked`: how many of them are expected to be parked.
    `counts`: empty for a sample. Expected as of `until`; found is that, plus or minus what differs.
    `documents`, `index_entries`: digests, expected and found, of 16 hexadecimal digits; equal exactly if no group
    differs. They depend neither on shards nor on any order; what is found has that of what is expected, plus what
    differs.
    `differences`: number of differing parts of documents, index entries, parked records and sets. `first`: the first of
    them.
    """

    generation: int
    expected_from: int | None
    sample: float
    positions: Mapping[str, int]
    until: Mapping[str, int]
    groups: int
    entries: int
    again: int
    events: int
    parked: int
    counts: list[Count]
    documents: tuple[str, str]
    index_entries: tuple[str, str]
    differences: int
    first: list[Difference]
    seconds: float


class Progress:
    """Reports progress, and the last one again where a wait must not look like a hang."""

    def __init__(self, report: ReportProgress) -> None:
        self._report = report
        self._last = "compare", 0, 1

    def __call__(self, step: str, done: int, total: int) -> None:
        self._last = step, done, total
        self._report(step, done, total)

    def repeat(self) -> None:
        self._report(*self._last)


def compare_generations(
    store: Store,
    live: Generation,
    built: Generation,
    builder: Builder,
    report_progress: ReportProgress,
    sample: Sample = ALL,
    first: int = 10,
) -> Report:
    """Compares `live`, which may be written meanwhile, with `built`, which only `builder` writes.

    Differences are reported of `live`, with `built` as the expected one. Differences of `built` itself are what does
    not fit its own records. If `live` is of another version, or holds personal data and `built` none, or the other way
    round, nearly all would differ: `built` is compared with the log.
    Raises StoreUnavailable and LogUnavailable if the builder's `retry` does; FatalError if a shard of `live` lags and
    no projector advances it; and what Builder.advance raises.
    """
    if live.version != VERSION or live.personal_data != built.personal_data:
        return verify_log(builder.log, store, built, builder.retry, report_progress, sample, first, accept_loss=True)
    started_s = time.monotonic()
    partitions, findings, progress = list(builder.positions), Findings(first), Progress(report_progress)
    with closing(Tables()) as tables:
        subject = Shards(store, live, partitions, builder.retry)
        reference = Shards(store, built, partitions, builder.retry)
        # Advanced before anything is compared: later, each changed group is compared again.
        builder.advance(lowest_positions(subject), progress.repeat)
        expected = BuiltGeneration(builder, reference, live, tables, sample)
        expected.list_groups()
        positions = dict(expected.positions)
        alignment = Alignment(expected, builder.log, builder.retry, progress.repeat)
        Comparison(subject, tables, findings, progress, sample, expected, alignment).compare_all()
        own = Comparison(reference, tables, findings, progress, sample)
        own.compare_all()
        return _report(live, built.number, sample, positions, expected, own.totals, findings, started_s)


def verify_log(
    log: Log,
    store: Store,
    generation: Generation,
    retry: Retry,
    report_progress: ReportProgress,
    sample: Sample = ALL,
    first: int = 10,
    accept_loss: bool = False,
) -> Report:
    """Compares a generation, which may be written meanwhile, with the log, which is folded again.

    `accept_loss`: for a generation that was built after the log had lost its beginning.
    Raises StoreUnavailable and LogUnavailable if `retry` does; LogGap and LogDiverged if the generation is of another
    log; FatalError if the log has lost its beginning, the generation is of another version, or a shard of it lags and
    no projector advances it.
    """
    started_s = time.monotonic()
    if generation.version != VERSION:
        raise FatalError(
            f"generation {generation.number} has version {generation.version}; this release verifies version {VERSION}"
        )
    ours, known = retry(log.identity), retry(lambda: store.log_of(generation))
    if known not in (None, ours):
        raise LogGap(f"generation {generation.number} holds the events of another log than {log.topic}. {REBUILD}")
    for divergence in retry(lambda: compare(log, store, generation, retry(log.partitions))).diverged:
        raise LogDiverged(f"generation {generation.number}: {divergence}. {REBUILD}")
    poison_pills = retry(lambda: store.poison_pills(generation))
    findings, progress = Findings(first), Progress(report_progress)
    with (
        closing(Tables()) as tables,
        closing(Refold(log, generation, tables, retry, sample, accept_loss, poison_pills)) as expected,
    ):
        subject = Shards(store, generation, list(expected.positions), retry)
        start, end = lowest_positions(subject), retry(log.end)
        for partition, offset in start.items():
            if offset > end[partition]:
                raise LogGap(f"Redis has applied {partition} up to {offset}, but the log ends at {end[partition]}")
        events = sum(start.values())
        expected.advance(start, lambda ids: None, lambda done: progress("fold", done, events))
        positions = dict(expected.positions)
        alignment = Alignment(expected, log, retry, progress.repeat)
        Comparison(subject, tables, findings, progress, sample, expected, alignment).compare_all()
        expected.totals.members["parked"] = tables.parked_count()
        return _report(generation, None, sample, positions, expected, expected.totals, findings, started_s)


def _report(
    generation: Generation,
    expected_from: int | None,
    sample: Sample,
    start: Positions,
    expected: Expected,
    totals: Totals,
    findings: Findings,
    started_s: float,
) -> Report:
    kinds = [name for name in KINDS if expected_from is None or name != "parked"]
    members = {name: totals.members[name] for name in kinds}
    return Report(
        generation=generation.number,
        expected_from=expected_from,
        sample=sample.share,
        positions=_named(start),
        until=_named(expected.positions),
        groups=totals.members["record"],
        entries=sum(total for name, total in members.items() if name[2:3] == ":"),
        again=findings.repeated,
        events=expected.events,
        parked=totals.members["parked"],
        counts=[Count(name, total, total + findings.surplus[name]) for name, total in members.items() if sample.is_all],
        documents=_digests(totals.documents, findings.documents),
        index_entries=_digests(totals.entries, findings.entries),
        differences=findings.differences,
        first=findings.first,
        seconds=round(time.monotonic() - started_s, 3),
    )


def _digests(expected: int, differing: int) -> tuple[str, str]:
    return f"{expected:016x}", f"{(expected + differing) % 2**64:016x}"


def _named(positions: Positions) -> dict[str, int]:
    return {str(partition): offset for partition, offset in sorted(positions.items())}
