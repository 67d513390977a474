"""The results of bench/lists.py: as a value that becomes JSON, as a table, and as a chart."""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from rich.table import Table

from bench import longest
from bench.chart import Bar, chart
from bench.contest import Calls, Results, Samples, quantile, quantile_of_calls
from bench.runs import Run
from bench.served import Build
from bench.shapes import Shape


class Took(Struct):
    """Milliseconds. `parts`: medians of its parts. `refused`: requests without an answer.

    `call_p99` of single script calls in Redis, `longest_call` of all commands, by its slow log; 0 if none was long
    enough for that. Both are elapsed times, so the longest also shows what other processes use of the processors.
    """

    requests: int
    p50: float | None
    p99: float | None
    max: float | None
    parts: dict[str, float]
    call_p99: float | None
    longest_call: float | None
    refused: list[str]


class Line(Struct):
    """`count`: groups found, equal for all contenders. `ratios`: contender -> its median over this project's."""

    name: str
    parameters: dict[str, str]
    count: int
    took: dict[str, Took]
    ratios: dict[str, float]


class Looped(Struct):
    """Milliseconds of a no-op script that runs between the lists: it shows the noise of the machine."""

    calls: int
    p50: float
    p99: float
    longest: float


class Report(Run):
    groups: int
    shards: int
    build: Build
    postgresql_load_s: float | None
    postgresql_trigrams: bool | None
    requests: int
    seconds: float
    rounds: int
    contenders: list[str]
    lines: list[Line]
    hard: list[longest.Took]
    loop: Looped


def lines(
    shapes: Sequence[Shape], counts: Mapping[str, int], contenders: Sequence[str], results: Results
) -> list[Line]:
    """One for each shape. The first contender is this project."""
    made = []
    for shape in shapes:
        took = {name: _took(results[name, shape.name]) for name in contenders if (name, shape.name) in results}
        ours = took[contenders[0]].p50
        ratios = {
            name: round(one.p50 / ours, 2) for name, one in took.items() if ours and one.p50 and name != contenders[0]
        }
        made.append(Line(shape.name, shape.parameters, counts[shape.name], took, ratios))
    return made


def looped(calls: Sequence[Calls]) -> Looped:
    return Looped(
        calls=sum(some.number for some in calls),
        p50=_ms(quantile_of_calls(calls, 0.5)),
        p99=_ms(quantile_of_calls(calls, 0.99)),
        longest=_ms(max(some.longest for some in calls)),
    )


def table(report: Report) -> Table:
    """p50 and p99 of each list, in milliseconds."""
    made = Table(
        "list",
        "groups",
        *(f"{name}\np50, p99 ms" for name in report.contenders),
        "calls in Redis,\np99, longest, ms",
    )
    for column in made.columns[1:]:
        column.justify = "right"
    for line in report.lines:
        cells = []
        for name in report.contenders:
            ratio = f"  {_ratio(line.ratios[name])}" if name in line.ratios else ""
            cells.append(_cell(line.took[name]) + ratio if name in line.took else "")
        ours = line.took[report.contenders[0]]
        calls = "" if ours.call_p99 is None else f"{ours.call_p99:.2f}, {ours.longest_call:.2f}"
        made.add_row(line.name, f"{line.count:,}", *cells, calls)
    return made


def adversarial_table(report: Report) -> Table:
    made = Table("adversarial query", "groups", "p50, p99 ms", "calls", "longest call in Redis,\nmedian, maximum, ms")
    for column in made.columns[1:]:
        column.justify = "right"
    for one in report.hard:
        times, calls = f"{_number(one.p50)}, {_number(one.p99)}", f"{one.calls:g}"
        made.add_row(one.name, f"{one.count:,}", times, calls, f"{one.longest_call_median:.2f}, {one.longest_call:.2f}")
    return made


def list_chart(report: Report) -> str:
    rows = {
        line.name: {name: Bar(one.p50, one.p99) for name, one in line.took.items() if one.p50 and one.p99}
        for line in report.lines
    }
    machine = report.machine
    parts = [
        f"{machine.processors} processors",
        machine.redis,
        *([f"PostgreSQL {machine.postgresql}"] if machine.postgresql else []),
        report.date[:10],
        report.commit,
    ]
    title = f"A page of 50 and its exact count, {report.groups:,} order groups"
    return chart(title, ", ".join(parts), report.contenders, rows)


def _took(samples: Samples) -> Took:
    seconds = samples.seconds
    return Took(
        requests=len(seconds),
        p50=_ms(quantile(seconds, 0.5)) if seconds else None,
        p99=_ms(quantile(seconds, 0.99)) if seconds else None,
        max=_ms(max(seconds)) if seconds else None,
        parts={name: _ms(quantile(part, 0.5)) for name, part in samples.parts.items()},
        call_p99=_ms(quantile_of_calls(samples.calls, 0.99)) if samples.calls else None,
        longest_call=_ms(max(calls.longest for calls in samples.calls)) if samples.calls else None,
        refused=samples.refused,
    )


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 3)


def _cell(took: Took) -> str:
    if took.p50 is None or took.p99 is None:
        return took.refused[0] if took.refused else ""
    refused = f" ({len(took.refused)} refused)" if took.refused else ""
    return f"{_number(took.p50)}, {_number(took.p99)}{refused}"


def _ratio(ratio: float) -> str:
    return f"x{ratio:,.0f}" if ratio >= 10 else f"x{ratio:.2g}"


def _number(ms: float) -> str:
    return f"{ms:,.0f}" if ms >= 100 else f"{ms:.1f}"
