"""What the README says of the lists: each shape beside its aim and PostgreSQL, and the memory of a group."""

from collections.abc import Mapping

from bench.markdown import made, ms, number, paragraph, table, times, verdict
from bench.report import Line, Report, Took

# Shape -> milliseconds, the p50 at a million groups.
AIMS_MS = {
    "all": 1,
    "all, from the middle": 1,
    "one customer": 1,
    "seller of 10 %": 1.5,
    "status of 10 %": 1.5,
    "status of 80 %": 1.5,
    "status of 80 %, channel of 50 %": 2,
    "the same, deep": 20,
    "seller, status, 60 days": 10,
    "status, 60 days": 5,
    "350 days by total": 5,
    "status of 80 % by total": 3,
    "rare status, channel by total": 10,
    "high total, seller by update": 10,
    "text with few hits": 130,
}
# Where more than that share of the groups is found, so many times as fast as the one table; elsewhere, but for a search
# for a text, no slower than that many times.
_BROAD = 0.05
_BROAD_AIM = 50
_SLOWER_AIM = 1.5
_RIVAL = "PostgreSQL, one table"
_BYTES_AIM = 1500
_CALL_AIM_MS = 5


def listed(found: Report) -> str:
    ours, *others = found.contenders
    head = [f"list, {number(found.groups)} groups", "groups found", "p50, p99", "aim, p50", "calls in Redis, p99"]
    rows = [
        [
            line.name,
            number(line.count),
            _quantiles(line.took[ours]),
            f"{AIMS_MS[line.name]:g} ms",
            _calls(line.took[ours]),
            *(_other(line, name) for name in others),
        ]
        for line in found.lines
    ]
    slow = {
        line.name: _p50(line.took[ours])
        for line in found.lines
        if (p50 := line.took[ours].p50) is None or p50 > AIMS_MS[line.name]
    }
    told = paragraph(
        "A page of 50 and its exact count: through redis-py and through PostgreSQL's driver, each on one connection, "
        "and over HTTP through `projector serve`. "
        f"What takes longer than {found.seconds:g} s was asked once, cold.",
        verdict("the p50 of each", slow),
        *_beside_rival(found),
        made(found),
    )
    chart = f"![p50 and p99 of each list](bench/results/lists.svg)\n\n{table([*head, *others], rows)}"
    return f"{chart}\n{told}\n{_hard(found)}\n{_memory(found)}"


def _beside_rival(found: Report) -> list[str]:
    if _RIVAL not in found.contenders:
        return ["PostgreSQL was not there to be asked."]
    ratios = {line.name: line.ratios[_RIVAL] for line in found.lines if _RIVAL in line.ratios}
    broad = {line.name for line in found.lines if line.count > _BROAD * found.groups}
    sought = {line.name for line in found.lines if "q" in line.parameters}
    few = {name: times(ratio) for name, ratio in ratios.items() if name in broad and ratio < _BROAD_AIM}
    slower = {
        name: times(1 / ratio)
        for name, ratio in ratios.items()
        if name not in broad | sought and ratio < 1 / _SLOWER_AIM
    }
    return [
        verdict(
            f"{_BROAD_AIM} times as fast as the one table where over {100 * _BROAD:g} % of the groups are found", few
        ),
        verdict(f"never over {_SLOWER_AIM} times its time elsewhere, but for `q`", slower),
    ]


def _hard(found: Report) -> str:
    head = [
        "made to be hard",
        "groups found",
        "p50, p99",
        "calls",
        "calls in Redis, p99",
        "the longest of a list, typical",
        "of all lists",
    ]
    rows = [
        [
            one.name,
            number(one.count),
            f"{ms(one.p50)}, {ms(one.p99)} ms",
            f"{one.calls:g}",
            f"{ms(one.call_p99)} ms",
            f"{ms(one.longest_call_median)} ms",
            f"{ms(one.longest_call)} ms",
        ]
        for one in found.hard
    ]
    ours = found.contenders[0]
    calls = {one.name: max(one.call_p99, one.longest_call_median) for one in found.hard}
    calls |= {one.name: one.took[ours].call_p99 or 0.0 for one in found.lines}
    long = {name: f"{ms(longest)} ms" for name, longest in calls.items() if longest > _CALL_AIM_MS}
    requests = sorted(one.requests for one in found.hard)
    told = paragraph(
        "Nothing holds Redis for longer than one call. Where it would be long, the work is done in several.",
        f"Each list was asked for {requests[0]} to {requests[-1]} times.",
        verdict(f"no call over {_CALL_AIM_MS} ms (p99, and the longest of a typical list), of both tables", long),
        f"What the machine adds: a script that reads nothing, and takes {ms(found.loop.p50)} ms, took "
        f"{ms(found.loop.p99)} ms (p99) and at most {ms(found.loop.longest)} ms between the lists of the first table.",
    )
    return f"{table(head, rows)}\n{told}"


def _memory(found: Report) -> str:
    build = found.build
    size = f"{build.redis_bytes_per_group / 1000:.2f} kB"
    return paragraph(
        f"Memory: {size} a group of {build.orders / build.groups:.1f} orders, all that Redis holds; `projector status` "
        f"estimates {build.bytes_per_group / 1000:.2f} kB from samples. Of it {_purposes(build.bytes_for)}.",
        verdict(f"{_BYTES_AIM / 1000} kB", {"a group": size} if build.redis_bytes_per_group > _BYTES_AIM else {}),
    )


def _purposes(sizes: Mapping[str, float]) -> str:
    """`documents 1.20 kB, sorts 0.80 kB`, down to ten bytes."""
    return ", ".join(f"{purpose} {size / 1000:.2f} kB" for purpose, size in sizes.items() if size >= 10)


def _quantiles(took: Took) -> str:
    if took.p50 is None or took.p99 is None:
        return "refused"
    return f"{ms(took.p50)}, {ms(took.p99)} ms" if took.requests > 1 else f"{ms(took.p50)} ms"


def _p50(took: Took) -> str:
    return "refused" if took.p50 is None else f"{ms(took.p50)} ms"


def _calls(took: Took) -> str:
    return "" if took.call_p99 is None else f"{ms(took.call_p99)} ms"


def _other(line: Line, name: str) -> str:
    if name not in line.took:
        return ""
    # What was asked once and cold is no measure of how many times.
    is_warm = name in line.ratios and line.took[name].requests > 1
    ratio = f" ({times(line.ratios[name])})" if is_warm else ""
    return f"{_quantiles(line.took[name])}{ratio}"
