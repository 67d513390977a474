"""The sections of docs/measured.md and README, and the charts, rendered from results and compared with the aims."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import api, changes, chaos, console, counted, export, fair, projector, replay, report, runs, source, visible
from bench.answers import costs, counts, exports, shares, streams
from bench.bars import Bar, Row, bars
from bench.listed import glance, grown, listed, small
from bench.markdown import made, ms, number, paragraph, rate, table, verdict
from bench.opened import opened
from bench.runs import Run

PROJECTOR_AIM = 0.8
VISIBLE_AIM_MS = 100
REPLAY_AIM, NAIVE_AIM = 0.5, 5
API_AIM = 0.5
# The results of lists of ten million groups, and of a million on another Redis.
LARGER, OTHER = "lists-10000000-valkey", "lists-valkey"

# What replay measures -> its name in docs/measured.md.
_WAYS = {
    replay.READ: "poll and decode only",
    replay.NAIVE: "one event at a time, the same scripts (naive)",
    replay.LIVE: "`projector run`",
    replay.ONE_WORKER: "`projector replay build --workers 1`",
    replay.TWO_WORKERS: "`projector replay build --workers 2`",
}
_CHARTED = ("the list", "one filter", "a 304")


def sections(results: Path) -> dict[str, str]:
    """Name -> Markdown of each benchmark that has results."""
    texts = {
        name: text(found)
        for name, (kind, text) in _SECTIONS.items()
        if (found := runs.read(results, name, kind)) is not None
    }
    if _throughput(results):
        texts["throughput"] = "![Throughput, and its ceilings](images/throughput.svg)\n"
    if (lists := runs.read(results, "lists", report.Report)) is not None:
        texts["glance"] = glance(lists)
        if (larger := runs.read(results, LARGER, report.Report)) is not None:
            texts["grown"] = grown(lists, larger)
    if (other := runs.read(results, OTHER, report.Report)) is not None:
        texts["valkey"] = small(other)
    return texts


def charts(results: Path) -> dict[str, str]:
    """File -> SVG of each chart that has results."""
    lists = runs.read(results, "lists", report.Report)
    drawn = {"throughput.svg": _throughput(results), "lists.svg": report.list_chart(lists) if lists else None}
    return {name: chart for name, chart in drawn.items() if chart}


def _projector(found: projector.Report) -> str:
    names = {"Kafka": f"from Kafka, {found.partitions} partitions", "SQLite": "from SQLite"}
    rows = [
        [
            names[log.name],
            *(rate(one.median) for one in (log.poll_and_decode, log.commits, log.projector)),
            f"{log.of_lower:.2f}",
        ]
        for log in found.logs
    ]
    head = [f"projector, {number(found.events)} events", "poll and decode only", "the same commits, pre-encoded"]
    missed = {log.name: f"{log.of_lower:.2f}" for log in found.logs if log.of_lower < PROJECTOR_AIM}
    told = paragraph(
        f"Medians of {found.rounds} rounds.", verdict(f"{PROJECTOR_AIM} of the lower ceiling", missed), made(found)
    )
    return f"{table([*head, '`projector run`', 'of the lower ceiling'], rows)}\n{told}"


def _visible(found: visible.Report) -> str:
    rows = [
        [
            log.name,
            f"{number(log.events_per_s)}/s",
            *(f"{ms(one.p50)}, {ms(one.p99)}, {ms(one.max)} ms" for one in (log.append, log.visible)),
        ]
        for log in found.logs
    ]
    head = ["publish to visible", "events", "acknowledged by the log: p50, p99, max", "in the API's list"]
    missed = {log.name: f"{ms(log.visible.p99)} ms" for log in found.logs if log.visible.p99 >= VISIBLE_AIM_MS}
    told = paragraph(
        f"From the call of the append, for {found.seconds:g} s, on loopback.",
        verdict(f"p99 under {VISIBLE_AIM_MS} ms at {number(found.events_per_s)} events/s", missed),
        made(found),
    )
    return f"{table(head, rows)}\n{told}"


def _replay(found: replay.Report) -> str:
    rows = [
        [_WAYS[way.name], rate(way.rate.median)]
        + [f"{ratio:.2f}" for ratio in (way.of_poll_and_decode, way.of_live, way.of_naive)]
        for way in found.ways
    ]
    head = [f"replay, {number(found.events)} events, {found.partitions} partitions of Kafka", "events"]
    head += ["of poll and decode", "of the live path", "of naive"]
    best = _best(found)
    slow = {best.name: f"{best.of_poll_and_decode:.2f}"} if best.of_poll_and_decode < REPLAY_AIM else {}
    naive = {best.name: f"{best.of_naive:.1f}"} if best.of_naive < NAIVE_AIM else {}
    told = paragraph(
        f"Medians of {found.rounds} rounds, the naive one of {number(found.naive_events)} events.",
        verdict(f"{REPLAY_AIM} of poll and decode", slow),
        verdict(f"{NAIVE_AIM} times naive", naive),
        f"A worker takes {number(found.worker_kb / 1024)} MiB at most: its memory follows the window, not the log.",
        made(found),
    )
    return f"{table(head, rows)}\n{told}"


def _api(found: api.Report) -> str:
    rows = [
        [
            one.name,
            *(
                cell
                for side in (one.bare, one.api)
                for cell in (rate(side.rate.median), f"{ms(side.p50.median)}, {ms(side.p99.median)} ms")
            ),
            f"{one.of_bare.median:.2f}",
        ]
        for one in found.shapes
    ]
    head = [f"API, {number(found.groups)} groups, {found.connections} connections"]
    head += ["bare FastAPI route, same bytes", "p50, p99", "API", "p50, p99", "of bare"]
    missed = {one.name: f"{one.of_bare.median:.2f}" for one in found.shapes if one.of_bare.median < API_AIM}
    told = paragraph(
        f"Medians of {found.rounds} rounds of {found.seconds:g} s. Each connection requests a different page, except "
        "in `the same by all` and `a 304`: identical concurrent requests share one call to Redis. The bare route "
        "answers with the first of these pages.",
        verdict(f"{API_AIM} of bare", missed),
        made(found),
    )
    return f"{table(head, rows)}\n{told}"


def _chaos(found: chaos.Report) -> str:
    rows = [[one.name, number(one.times), number(one.records), one.commit] for one in found.faults]
    told = paragraph("No record was lost, applied twice or dropped silently. The last run:", made(found))
    return f"{table(['fault', 'times', 'records of the log', 'commit'], rows)}\n{told}"


_SECTIONS: dict[str, tuple[type[Run], Callable[[Any], str]]] = {
    "projector": (projector.Report, _projector),
    "visible": (visible.Report, _visible),
    "replay": (replay.Report, _replay),
    "api": (api.Report, _api),
    "lists": (report.Report, listed),
    "counted": (counted.Report, counts),
    "export": (export.Report, exports),
    "console": (console.Report, opened),
    "changes": (changes.Report, streams),
    "fair": (fair.Report, shares),
    "source": (source.Report, costs),
    "chaos": (chaos.Report, _chaos),
}


def _throughput(results: Path) -> str | None:
    """None unless all three have results."""
    projected = runs.read(results, "projector", projector.Report)
    replayed = runs.read(results, "replay", replay.Report)
    asked = runs.read(results, "api", api.Report)
    if projected is None or replayed is None or asked is None:
        return None
    rows = {}
    for log in projected.logs:
        ours, read, write = (one.median for one in (log.projector, log.poll_and_decode, log.commits))
        shown = [_ours(ours), _ceiling(read, "poll and decode"), _ceiling(write, "Redis alone: commits, pre-encoded")]
        rows[f"projector, {log.name}"] = Row(shown, PROJECTOR_AIM * min(read, write))
    medians = {way.name: way.rate.median for way in replayed.ways}
    read, naive = medians[replay.READ], medians[replay.NAIVE]
    shown = [
        _ours(_best(replayed).rate.median),
        _ceiling(read, "poll and decode"),
        Bar(2, naive, f"{rate(naive)}, naive"),
    ]
    rows["replay, Kafka"] = Row(shown, max(REPLAY_AIM * read, NAIVE_AIM * naive))
    for one in asked.shapes:
        if one.name in _CHARTED:
            ours, bare = one.api.rate.median, one.bare.rate.median
            rows[f"API, {one.name}"] = Row([_ours(ours), _ceiling(bare, "a bare route, same bytes")], API_AIM * bare)
    return bars(
        "Events or requests per second, and what the parts reach alone",
        f"{asked.machine.processors} shared processors, {asked.machine.redis}, {asked.date[:10]}, {asked.commit}",
        ["this project", "ceiling: one part alone", "one event at a time"],
        rows,
    )


def _best(found: replay.Report) -> replay.Way:
    ours = (way for way in found.ways if way.name in (replay.ONE_WORKER, replay.TWO_WORKERS))
    return max(ours, key=lambda way: way.rate.median)


def _ours(value: float) -> Bar:
    return Bar(0, value, rate(value))


def _ceiling(value: float, what: str) -> Bar:
    return Bar(1, value, f"{rate(value)}, {what}")
