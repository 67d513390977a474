"""The two questions: does a generation hold what the log says, and does a new one hold what the live one does?"""

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
from projector.verify.book import Book
from projector.verify.comparison import Comparison, Side, Tell, hashes
from projector.verify.expected import BUILT, FOUND, Built, Refold
from projector.verify.level import Level
from projector.verify.picture import KINDS, Difference, Digest
from projector.verify.sample import ALL, Sample
from projector.verify.shards import Positions, Shards, lowest


class Count(Struct, frozen=True):
    """Members of all sets or hashes of one kind: `by:total`, `of:status` for all statuses, `row`."""

    kind: str
    expected: int
    found: int


class Report(Struct, frozen=True):
    """Of `generation`, compared with another one, or with the log, if `expected_from` is None.

    `positions`, `until`: every group that there was at the first was compared as it was there, or somewhere up to the
    second if it changed, and every set was counted somewhere between; both sides at the same positions.
    `sample`: the share of the groups that was compared; of a part, sets are not counted, and what is in them too many
    is not found, nor are groups that there ought not to be.
    `groups`, `entries`: how many there ought to be, of the sample. `again`: how often a group was compared once more.
    `events`: folded from the log; 0 between generations. `parked`: of them, those that no group could take.
    `counts`: empty for a sample. They are those at the end, give or take what differed when it was counted.
    `documents`, `index_entries`: digests of both sides, expected and found, of 16 hexadecimal digits; equal exactly if
    no group differs. They depend neither on shards nor on the order of anything.
    `differences`: how many parts of documents, index entries, parked records and sets; `first`: the first of them.
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
    tell: Tell,
    sample: Sample = ALL,
    first: int = 10,
) -> Report:
    """Of `built`, which nobody but `builder` writes, with `live`, which may be written.

    `tell`: see Tell. Differences are told as of `live`, with `built` as what is expected; those of `built` are sets and
    bitmaps of it that do not fit its own documents.
    Raises StoreUnavailable and LogUnavailable as far as the builder's `retry` does, FatalError where a shard of `live`
    lags and no projector brings it on, and what Builder.advance raises.
    """
    started_s = time.monotonic()
    partitions = list(builder.positions)
    with closing(Book(first)) as book:
        found = Shards(store, live, partitions, builder.retry)
        own = Shards(store, built, partitions, builder.retry)
        # What lies before the live one is applied before anything is counted: later on, each group would be looked up.
        builder.advance(lowest(found), lambda: tell("compare", 0, 1))
        expected = Built(builder, own, live, book, sample)
        expected.list_groups()
        total = book.groups()
        level = Level(expected, builder.log, builder.retry, lambda: tell("compare", total, total))
        comparison = Comparison(live, expected, book, level)
        comparison.walk(found, tell)
        positions = dict(expected.positions)
        if not sample.is_all:
            _find_strangers(found, sample, book)
        comparison.settle(Side(FOUND, found, hashes(found, parked=False)), sized=sample.is_all)
        comparison.settle(Side(BUILT, own, hashes(own, parked=False)), sized=sample.is_all)
        return _report(live, built.number, sample, positions, expected.positions, book, comparison, 0, started_s)


def _find_strangers(shards: Shards, sample: Sample, book: Book) -> None:
    """Groups that ought not to be there become candidates: where nothing is counted, nothing else tells of them."""
    for shard in range(shards.generation.shards):
        for members in shards.members(shard, "state"):
            ids = sample.of(member.decode(errors="backslashreplace") for member in members)
            known = book.states(ids)
            book.put_candidates(FOUND, ((shard, one, "") for one in ids if one not in known))


def verify_log(
    log: Log,
    store: Store,
    generation: Generation,
    retry: Retry,
    tell: Tell,
    sample: Sample = ALL,
    first: int = 10,
    accept_loss: bool = False,
) -> Report:
    """Of a generation, which may be written, with the log, folded again.

    `tell`: see Tell.
    `accept_loss`: for a generation that was made from a log that had lost its beginning, and no more since.
    Raises StoreUnavailable and LogUnavailable as far as `retry` does; LogGap and LogDiverged where the generation is
    of another log; FatalError where the log has lost its beginning, the generation is of another version, or a shard of
    it lags and no projector brings it on.
    """
    started_s = time.monotonic()
    if generation.version != VERSION:
        raise FatalError(
            f"generation {generation.number} has version {generation.version}, this code folds version {VERSION}"
        )
    ours, known = retry(log.identity), retry(lambda: store.log_of(generation))
    if known not in (None, ours):
        raise LogGap(f"generation {generation.number} has the events of another log than {log.topic} as it is now")
    for divergence in retry(lambda: compare(log, store, generation, retry(log.partitions))).diverged:
        raise LogDiverged(f"generation {generation.number}: {divergence}. {REBUILD}")
    poison_pills = retry(lambda: store.poison_pills(generation))
    with (
        closing(Book(first)) as book,
        closing(Refold(log, generation, book, retry, sample, accept_loss, poison_pills)) as expected,
    ):
        found = Shards(store, generation, list(expected.positions), retry)
        start, end = lowest(found), retry(log.end)
        for partition, offset in start.items():
            if offset > end[partition]:
                raise LogGap(f"Redis has applied {partition} up to {offset}, but the log ends at {end[partition]}")
        events = sum(start.values())
        expected.advance(start, lambda ids: None, lambda done: tell("fold", done, events))
        groups = book.groups()
        level = Level(expected, log, retry, lambda: tell("compare", groups, groups))
        comparison = Comparison(generation, expected, book, level)
        comparison.walk(found, tell)
        positions = dict(expected.positions)
        comparison.settle(Side(FOUND, found, hashes(found, parked=True)), sized=sample.is_all)
        return _report(
            generation, None, sample, positions, expected.positions, book, comparison, expected.events, started_s
        )


def _report(
    generation: Generation,
    expected_from: int | None,
    sample: Sample,
    positions: Positions,
    until: Positions,
    book: Book,
    comparison: Comparison,
    events: int,
    started_s: float,
) -> Report:
    kinds = [name for name in KINDS if expected_from is None or name != "parked"]
    totals = {name: book.total(FOUND, name) for name in kinds}
    expected, found = comparison.expected_digest, comparison.found_digest
    return Report(
        generation=generation.number,
        expected_from=expected_from,
        sample=sample.share,
        positions=_named(positions),
        until=_named(until),
        groups=book.groups(),
        entries=sum(total for name, total in totals.items() if name[2:3] == ":"),
        again=comparison.again,
        events=events,
        parked=book.total(FOUND, "parked"),
        counts=[Count(name, total, total + comparison.off[name]) for name, total in totals.items()]
        if sample.is_all
        else [],
        documents=(_hex(expected, "documents"), _hex(found, "documents")),
        index_entries=(_hex(expected, "entries"), _hex(found, "entries")),
        differences=book.differences,
        first=book.first(),
        seconds=round(time.monotonic() - started_s, 3),
    )


def _hex(digest: Digest, field: str) -> str:
    return f"{getattr(digest, field):016x}"


def _named(positions: Positions) -> dict[str, int]:
    return {str(partition): offset for partition, offset in sorted(positions.items())}
