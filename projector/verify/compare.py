"""Compares a generation with the log, and the live generation with a new one."""

import time
from collections.abc import Mapping
from contextlib import closing

from msgspec import Struct

from events.errors import LogDiverged, LogGap
from events.logs.log import Log
from projector.continuity import REBUILD, compare
from projector.errors import FatalError
from projector.readmodel.schema.document import VERSION
from projector.readmodel.schema.keys import Generation
from projector.rebuild.builder import Builder
from projector.retry import Retry
from projector.store.redis import Store
from projector.verify.alignment import Alignment
from projector.verify.comparison import Comparison, ReportProgress, Target, counted_hashes
from projector.verify.difference import Difference
from projector.verify.expected import BuiltGeneration, Refold
from projector.verify.sample import ALL, Sample
from projector.verify.shards import Positions, Shards, lowest_positions
from projector.verify.snapshot import KINDS, Digest
from projector.verify.tables import REFERENCE, SUBJECT, Tables


class Count(Struct, frozen=True):
    """Members of all sets or counted_hashes of one kind: `by:total`, `of:status` for all statuses, `row`."""

    kind: str
    expected: int
    found: int


class Report(Struct, frozen=True):
    """Of `generation`, compared with the generation `expected_from`, or with the log if that is None.

    `positions`, `until`: every group was compared as of `positions` or, if it changed, as of positions up to `until`;
    every set was counted at positions between the two. Expected and found are always of the same positions.
    `sample`: the share of the groups that was compared. Below 1, sets are not counted, so unexpected members are not
    found.
    `groups`, `entries`: expected numbers, of the sample. `again`: how often a group was compared again.
    `events`: folded from the log; 0 between generations. `parked`: how many of them are expected to be parked.
    `counts`: empty for a sample. As of `until`, plus or minus what differed when it was counted.
    `documents`, `index_entries`: digests, expected and found, of 16 hexadecimal digits; equal exactly if no group
    differs. They depend neither on shards nor on any order.
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

    Differences are reported of `live`, with `built` as the expected one. Differences of `built` itself are sets and
    bitmaps that do not fit its own documents.
    Raises StoreUnavailable and LogUnavailable if the builder's `retry` does; FatalError if a shard of `live` lags and
    no projector advances it; and what Builder.advance raises.
    """
    started_s = time.monotonic()
    partitions = list(builder.positions)
    with closing(Tables(first)) as tables:
        subject = Shards(store, live, partitions, builder.retry)
        reference = Shards(store, built, partitions, builder.retry)
        # Advanced before anything is counted: later, each changed group costs a look-up.
        builder.advance(lowest_positions(subject), lambda: report_progress("compare", 0, 1))
        expected = BuiltGeneration(builder, reference, live, tables, sample)
        expected.list_groups()
        total = tables.group_count()
        alignment = Alignment(expected, builder.log, builder.retry, lambda: report_progress("compare", total, total))
        comparison = Comparison(live, expected, tables, alignment)
        comparison.compare_all(subject, report_progress)
        positions = dict(expected.positions)
        if not sample.is_all:
            _add_unexpected_groups(subject, sample, tables)
        for role, shards in ((SUBJECT, subject), (REFERENCE, reference)):
            comparison.settle(Target(role, shards, counted_hashes(shards, parked=False)), with_sizes=sample.is_all)
        return _report(live, built.number, sample, positions, expected.positions, tables, comparison, 0, started_s)


def _add_unexpected_groups(shards: Shards, sample: Sample, tables: Tables) -> None:
    """Makes groups that are not expected candidates: in a sample nothing is counted, so nothing else finds them."""
    for shard in range(shards.generation.shards):
        for members in shards.members(shard, "state"):
            ids = sample.of(member.decode(errors="backslashreplace") for member in members)
            known = tables.states(ids)
            tables.put_candidates(SUBJECT, ((shard, one, "") for one in ids if one not in known))


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
    with (
        closing(Tables(first)) as tables,
        closing(Refold(log, generation, tables, retry, sample, accept_loss, poison_pills)) as expected,
    ):
        subject = Shards(store, generation, list(expected.positions), retry)
        start, end = lowest_positions(subject), retry(log.end)
        for partition, offset in start.items():
            if offset > end[partition]:
                raise LogGap(f"Redis has applied {partition} up to {offset}, but the log ends at {end[partition]}")
        events = sum(start.values())
        expected.advance(start, lambda ids: None, lambda done: report_progress("fold", done, events))
        groups = tables.group_count()
        alignment = Alignment(expected, log, retry, lambda: report_progress("compare", groups, groups))
        comparison = Comparison(generation, expected, tables, alignment)
        comparison.compare_all(subject, report_progress)
        positions = dict(expected.positions)
        comparison.settle(Target(SUBJECT, subject, counted_hashes(subject, parked=True)), with_sizes=sample.is_all)
        return _report(
            generation, None, sample, positions, expected.positions, tables, comparison, expected.events, started_s
        )


def _report(
    generation: Generation,
    expected_from: int | None,
    sample: Sample,
    positions: Positions,
    until: Positions,
    tables: Tables,
    comparison: Comparison,
    events: int,
    started_s: float,
) -> Report:
    kinds = [name for name in KINDS if expected_from is None or name != "parked"]
    totals = {name: tables.total(SUBJECT, name) for name in kinds}
    expected, found = comparison.expected_digest, comparison.found_digest
    return Report(
        generation=generation.number,
        expected_from=expected_from,
        sample=sample.share,
        positions=_named(positions),
        until=_named(until),
        groups=tables.group_count(),
        entries=sum(total for name, total in totals.items() if name[2:3] == ":"),
        again=comparison.repeated,
        events=events,
        parked=tables.total(SUBJECT, "parked"),
        counts=[Count(name, total, total + comparison.surplus[name]) for name, total in totals.items()]
        if sample.is_all
        else [],
        documents=(_hex(expected, "documents"), _hex(found, "documents")),
        index_entries=(_hex(expected, "entries"), _hex(found, "entries")),
        differences=tables.differences,
        first=tables.first_differences(),
        seconds=round(time.monotonic() - started_s, 3),
    )


def _hex(digest: Digest, field: str) -> str:
    return f"{getattr(digest, field):016x}"


def _named(positions: Positions) -> dict[str, int]:
    return {str(partition): offset for partition, offset in sorted(positions.items())}
