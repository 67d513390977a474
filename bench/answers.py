"""The sections of docs/measured.md on what is answered beside lists: facets and sums, exports,
changes, fair shares; and on what the source costs a shop.
"""

from bench import changes, counted, export, fair, source
from bench.changes import Spread
from bench.markdown import made, ms, number, paragraph, rate, table, times, verdict
from bench.served import Asked

# Milliseconds, at the median.
_AIMS_MS = {"facets": 10.0, "sums": 5.0}
_CALL_AIM_MS = 20.0
# Of lists that find more than this share of the groups.
_BROAD, _BROAD_AIM = 0.05, 50.0
_QUIET_AIM_MS, _LOADED_AIM_MS = 100.0, 300.0


def counts(found: counted.Report) -> str:
    ours, theirs = Asked.name, counted.Grouped.name
    rows, slow, long, near = [], {}, {}, {}
    for line in found.lines:
        asked = line.name.rpartition(": ")[2]
        mine, rival = line.took.get(ours), line.took.get(theirs)
        ratio = rival[0] / mine[0] if mine and rival else None
        rows.append(
            [line.name, number(line.count), _took(mine), f"{ms(line.call_p99)} ms", _took(rival), _times(ratio)]
        )
        if mine is None or mine[0] > _AIMS_MS[asked]:
            slow[line.name] = _took(mine)
        if line.call_p99 > _CALL_AIM_MS:
            long[line.name] = f"{ms(line.call_p99)} ms"
        if ratio is not None and line.count > _BROAD * found.groups and ratio < _BROAD_AIM:
            near[line.name] = times(ratio)
    head = [f"counted beside a list, {number(found.groups)} groups", "groups found", "p50, p99", "calls in Redis, p99"]
    text = paragraph(
        "Facets of status, channel and 20 sellers; the sum, least and greatest total. All figures of both are equal.",
        verdict("facets 10 ms, sums 5 ms (p50)", slow),
        verdict(f"no call over {_CALL_AIM_MS:.0f} ms (p99)", long),
        verdict(f"{_BROAD_AIM:.0f} times as fast as `GROUP BY` where over {100 * _BROAD:.0f} % match", near),
        made(found),
    )
    return f"{table([*head, theirs, 'as fast'], rows)}\n{text}"


def exports(found: export.Report) -> str:
    rows = [["HMGET of the rows alone", "", rate(found.hmget.median), f"{ms(found.list_p99_ms.median)} ms"]]
    rows += [
        [one.name, number(one.rows), rate(one.rate.median), f"{ms(one.list_p99_ms.median)} ms"] for one in found.exports
    ]
    head = [f"export, {number(found.groups)} groups", "rows", "rows per second", "another client's list, p99"]
    return f"{table(head, rows)}\n{paragraph(made(found))}"


def streams(found: changes.Report) -> str:
    rows = [
        ["after a quiet second", *_spread(found.quiet)],
        [f"at {found.events_per_s} events/s", *_spread(found.loaded)],
    ]
    late = {
        name: f"{ms(spread.p99)} ms"
        for name, spread, aim in (("quiet", found.quiet, _QUIET_AIM_MS), ("loaded", found.loaded, _LOADED_AIM_MS))
        if spread.p99 > aim
    }
    head = [f"publish to event, {number(found.subscribers)} streams", "p50, p99, max"]
    text = paragraph(
        verdict(f"p99 {_QUIET_AIM_MS:.0f} ms after a quiet second, {_LOADED_AIM_MS:.0f} ms under load", late),
        made(found),
    )
    return f"{table(head, rows)}\n{text}"


def shares(found: fair.Report) -> str:
    rows = [
        [one.name, f"{ms(one.p50_ms)}, {ms(one.p99_ms)}, {ms(one.max_ms)} ms", number(one.refused), _own(one.own)]
        for one in found.loads
    ]
    slow = {one.name: f"{ms(one.p99_ms)} ms" for one in found.loads if one.p99_ms > fair.AIM_MS}
    head = [
        f"beside {found.connections} connections with",
        "another client's list: p50, p99, max",
        "refused",
        "own answers",
    ]
    text = paragraph(
        f"For {found.seconds:g} s each, at {number(found.groups)} groups, each client a process of its own.",
        verdict(f"p99 {fair.AIM_MS:.0f} ms", slow),
        made(found),
    )
    return f"{table(head, rows)}\n{text}"


def _took(took: tuple[float, float] | None) -> str:
    return "refused" if took is None else f"{ms(took[0])}, {ms(took[1])} ms"


def _times(ratio: float | None) -> str:
    return "" if ratio is None else times(ratio)


def _spread(spread: Spread) -> list[str]:
    return [f"{ms(spread.p50)}, {ms(spread.p99)}, {ms(spread.max)} ms"]


def _own(own: dict[str, int]) -> str:
    return ", ".join(f"{number(answers)} of {status}" for status, answers in sorted(own.items()))


def costs(found: source.Report) -> str:
    rows = [
        [one.kind, number(one.writers), rate(one.plain), rate(one.noted), f"{one.overhead_percent:g} %"]
        for one in found.writes
    ]
    before, meanwhile = (f"{ms(one)} ms" for one in found.shop_p99_ms)
    told = paragraph(
        f"A backfill of {number(found.orders)} orders: {rate(found.backfill_per_s)}, in {found.relay_rss_mb:.0f} MB; "
        f"`publish` of the same events: {rate(found.publish_per_s)}. An UPDATE of the shop, p99: {before}, and "
        f"{meanwhile} during the backfill.",
        made(found),
    )
    return f"{table(['transaction of the shop', 'writers', 'without triggers', 'with', 'more time'], rows)}\n{told}"
