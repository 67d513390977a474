"""The sections on lists: each shape with its aim and PostgreSQL's time, and the memory of a group."""

from collections.abc import Mapping

from bench.markdown import made, ms, number, paragraph, table, times, verdict
from bench.report import Line, Report, Took

# Shape -> aim for its p50 at a million groups, in milliseconds.
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
    "text with few hits": 15,
}
# Lists that find more than this share of the groups aim at _BROAD_AIM times the speed of the one table; others, except
# searches for text, at no more than _SLOWER_AIM times its time.
_BROAD = 0.05
_BROAD_AIM = 50
_SLOWER_AIM = 1.5
_RIVAL = "PostgreSQL, one table"
_BYTES_AIM = 1800
# Of the longest call: what people ask for, and adversarial queries.
_CALL_AIM_MS, _HARD_CALL_AIM_MS = 5, 20
# The lists that the README names, and those of PostgreSQL's that it compares them with.
_GLANCED = ("all", "status of 80 %", "status of 80 % by total", "text with few hits")


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
        "A page of 50 and its exact count: with redis-py and with PostgreSQL's driver, each on one connection, "
        "and over HTTP from `projector serve`. "
        f"A list that takes longer than {found.seconds:g} s was requested once, cold.",
        verdict("the p50 of each", slow),
        *_beside_rival(found),
        made(found),
    )
    chart = f"![p50 and p99 of each list](images/lists.svg)\n\n{table([*head, *others], rows)}"
    return f"{chart}\n{told}\n{_hard(found)}\n{_memory(found)}"


def glance(found: Report) -> str:
    """Returns the section of the README."""
    ours, *others = found.contenders
    head = [f"list, {number(found.groups)} groups", *(name.replace("ours", "this project") for name in (ours, *others))]
    rows = [
        [line.name, _p50(line.took[ours]), *(_p50(line.took[name]) if name in line.took else "" for name in others)]
        for line in found.lines
        if line.name in _GLANCED
    ]
    told = paragraph(
        "p50 of a page of 50 and its exact count.",
        f"A group of {found.build.orders / found.build.groups:.1f} orders takes "
        f"{found.build.redis_bytes_per_group / 1000:.2f} kB of Redis.",
        made(found),
    )
    return f"![p50 and p99 of each list](docs/images/lists.svg)\n\n{table(head, rows)}\n{told}"


def grown(found: Report, larger: Report) -> str:
    """Returns the section on how each list grew."""
    ours, theirs = found.contenders[0], larger.contenders[0]
    before = {line.name: line.took[ours] for line in found.lines}
    rows = [
        [
            line.name,
            number(line.count),
            _p50(before[line.name]),
            _quantiles(line.took[theirs]),
            _calls(line.took[theirs]),
        ]
        for line in larger.lines
        if line.name in before
    ]
    head = ["list", "groups found", f"p50 of {number(found.groups)}", f"{number(larger.groups)}: p50, p99"]
    return f"{table([*head, 'calls in Redis, p99'], rows)}\n{_memory(larger)}\n{paragraph(made(larger))}"


def small(found: Report) -> str:
    """Returns the section on the memory of another Redis."""
    size = f"{found.build.redis_bytes_per_group / 1000:.2f} kB"
    return paragraph(f"On {found.machine.redis}: {size} per group, of {number(found.groups)}.", made(found))


def _beside_rival(found: Report) -> list[str]:
    if _RIVAL not in found.contenders:
        return ["PostgreSQL was not available."]
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
            f"{_BROAD_AIM} times as fast as the one table for lists that find over {100 * _BROAD:g} % of the groups",
            few,
        ),
        verdict(f"at most {_SLOWER_AIM} times its time for others, except `q`", slower),
    ]


def _hard(found: Report) -> str:
    head = [
        "adversarial query",
        "groups found",
        "p50, p99",
        "calls",
        "calls in Redis, p99",
        "longest call, median",
        "maximum",
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
    calls = {one.name: one.took[ours].call_p99 or 0.0 for one in found.lines}
    hard = {one.name: max(one.call_p99, one.longest_call_median) for one in found.hard}
    long = {name: f"{ms(longest)} ms" for name, longest in calls.items() if longest > _CALL_AIM_MS}
    longer = {name: f"{ms(longest)} ms" for name, longest in hard.items() if longest > _HARD_CALL_AIM_MS}
    requests = sorted(one.requests for one in found.hard)
    told = paragraph(
        "Redis is blocked for one call at a time; long work is split into several calls.",
        "In the names, letters are those of `q`, and numbers say how many values a filter has.",
        f"Each list was requested {requests[0]} to {requests[-1]} times.",
        verdict(f"no call of the first table over {_CALL_AIM_MS} ms (p99)", long),
        verdict(f"no adversarial call over {_HARD_CALL_AIM_MS} ms (p99, and the median of the longest)", longer),
        f"Baseline, which shows the noise of the machine: a no-op script of {ms(found.loop.p50)} ms, run between the "
        f"lists of the first table, took {ms(found.loop.p99)} ms (p99) and at most {ms(found.loop.longest)} ms.",
    )
    return f"{table(head, rows)}\n{told}"


def _memory(found: Report) -> str:
    build = found.build
    size = f"{build.redis_bytes_per_group / 1000:.2f} kB"
    return paragraph(
        f"Memory: {size} per group of {build.orders / build.groups:.1f} orders in Redis; `projector status` "
        f"estimates {build.bytes_per_group / 1000:.2f} kB from samples. It consists of {_purposes(build.bytes_for)}.",
        verdict(f"{_BYTES_AIM / 1000} kB", {"a group": size} if build.redis_bytes_per_group > _BYTES_AIM else {}),
    )


def _purposes(sizes: Mapping[str, float]) -> str:
    """`documents 1.20 kB, sorts 0.80 kB`; less than ten bytes are left out."""
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
    # A single cold request gives no ratio.
    is_warm = name in line.ratios and line.took[name].requests > 1
    ratio = f" ({times(line.ratios[name])})" if is_warm else ""
    return f"{_quantiles(line.took[name])}{ratio}"
