"""The figures of README and docs/measured.md are rendered from bench/results; none is typed by hand."""

import json
import re
from pathlib import Path

import pytest

from bench import (
    api,
    changes,
    chaos,
    console,
    counted,
    export,
    fair,
    longest,
    projector,
    replay,
    report,
    source,
    visible,
)
from bench.bars import Bar, Row, bars
from bench.listed import AIMS_MS
from bench.markdown import ms, rate, times
from bench.readme import CHARTS, GLANCE, MEASURED, README, render
from bench.runs import Machine, Rounds, Run, read, rounds, save
from bench.sections import LARGER, OTHER, charts, sections
from bench.served import Build
from bench.shapes import shapes

RESULTS = README.parent / "bench" / "results"
MARKED = re.compile(r"<!-- bench: (\w+) -->\n(.*?)<!-- end -->\n", re.DOTALL)
MACHINE = Machine(2, 8 * 2**30, "Linux x86_64", 0.1, "3.11.9", "redis-7.4", "Kafka 4", "16.1")
RUN = ("2026-06-01T10:00:00+00:00", "abc1234", MACHINE)


def test_the_readme_has_the_figures_of_the_results() -> None:
    made = sections(RESULTS)
    for page, shown in ((README, {GLANCE: made.pop(GLANCE)}), (MEASURED, made)):
        assert render(page.read_text(), shown) == page.read_text(), "make bench, or python -m bench.readme"


def test_the_charts_have_the_figures_of_the_results() -> None:
    for name, chart in charts(RESULTS).items():
        assert (CHARTS / name).read_text() == chart, name


def test_no_figure_is_typed_by_hand() -> None:
    measured = MEASURED.read_text()
    assert {name for name, _ in MARKED.findall(measured)} == {"throughput", "grown", "valkey", *measured_all()}
    by_hand = re.sub(r"`[^`]+`", "", MARKED.sub("", measured))
    assert re.findall(r"\d.*", by_hand) == []


def test_every_list_has_an_aim() -> None:
    assert [*AIMS_MS] == [shape.name for shape in shapes(1_000)]


# --- rendering ---


def measured_side(value: float) -> api.Side:
    return api.Side(rounds([value]), rounds([2.44]), rounds([123.4]))


def line(name: str, count: int, p50: float | None, ratio: float) -> report.Line:
    """`p50`: of this project; None if the request was refused."""
    refused = [] if p50 else ["503 after 5,000 ms"]
    ours = report.Took(9, p50, p50 and 2 * p50, p50 and 3 * p50, {}, 0.2, 0.4, refused)
    theirs = report.Took(9, 10.0, 20.0, 30.0, {}, None, None, [])
    parameters = {"q": "abc"} if name.startswith("text") else {}
    return report.Line(name, parameters, count, {"ours": ours, "PostgreSQL, one table": theirs}, {THEIRS: ratio})


THEIRS = "PostgreSQL, one table"
BUILD = Build(
    2_400_000,
    1_000_000,
    2_001_000,
    60.0,
    0.02,
    20.0,
    40_000,
    1_612,
    1_700_000_000,
    1_700.0,
    {"documents": 900.4, "sorts": 780.0, "the rest": 1.2},
)


def measured_all() -> dict[str, Run]:
    rates: dict[str, Rounds] = {
        replay.READ: rounds([80_000]),
        replay.NAIVE: rounds([3_000]),
        replay.LIVE: rounds([20_000]),
        replay.ONE_WORKER: rounds([25_000]),
        replay.TWO_WORKERS: rounds([30_000]),
    }
    ways = [replay.Way(name, found, found.median / 80_000, found.median / 3_000, 1.5) for name, found in rates.items()]
    spread = visible.Spread(1.0, 2.0, 3.0)
    slow = visible.Spread(20.0, 140.0, 900.0)
    lists = [
        line("all", 1_000_000, 0.8, 60),
        line("one customer", 4, 1.2, 0.5),
        line("status of 80 %", 800_000, 1.4, 7),
        line("the same, deep", 400_000, None, 80),
        line("text with few hits", 5, 120, 0.01),
    ]
    return {
        "projector": projector.Report(
            *RUN,
            events=100_000,
            partitions=4,
            rounds=3,
            logs=[
                projector.FromLog("Kafka", rounds([96_312]), rounds([79_000]), rounds([38_249]), 0.484),
                projector.FromLog("SQLite", rounds([200_000]), rounds([79_000]), rounds([70_000]), 0.886),
            ],
        ),
        "visible": visible.Report(
            *RUN,
            events=20_000,
            events_per_s=2_000,
            seconds=10,
            partitions=4,
            logs=[
                visible.FromLog("SQLite", 1_999, 1_000, spread, spread),
                visible.FromLog("Kafka", 1_998, 1_000, spread, slow),
            ],
        ),
        "replay": replay.Report(
            *RUN, events=200_000, naive_events=10_000, partitions=4, rounds=3, worker_kb=250_000, ways=ways
        ),
        "api": api.Report(
            *RUN,
            groups=20_000,
            shards=1,
            connections=16,
            seconds=2,
            rounds=3,
            shapes=[
                api.Asked("the list", "", measured_side(12_456), measured_side(6_321), rounds([0.507], 3)),
                api.Asked(
                    "one filter", "?status=completed", measured_side(12_000), measured_side(5_000), rounds([0.417], 3)
                ),
            ],
        ),
        "lists": report.Report(
            *RUN,
            groups=1_000_000,
            shards=1,
            build=BUILD,
            postgresql_load_s=100.0,
            postgresql_trigrams=True,
            requests=200,
            seconds=4,
            rounds=10,
            contenders=["ours", THEIRS],
            lines=lists,
            hard=[
                longest.Took("20 sellers", 23_000, 50, 30.0, 40.0, 22, 2.2, 3.2, 8.0),
                longest.Took("a letter", 500_000, 50, 130.0, 150.0, 392, 1.9, 5.2, 6.0),
            ],
            loop=report.Looped(1_800, 2.5, 6.7, 19.0),
        ),
        "counted": counted.Report(
            *RUN,
            groups=1_000_000,
            shards=1,
            lines=[
                counted.Line("all: facets", 1_000_000, {"this project": (4.0, 6.0), THEIRS: (1_000.0, 1_100.0)}, 5.0),
                counted.Line("one customer: sums", 2, {"this project": (6.0, 31.0), THEIRS: (0.5, 0.6)}, 25.0),
                counted.Line("rare: facets", 900_000, {THEIRS: (0.5, 0.6)}, 0.1),
            ],
        ),
        "export": export.Report(
            *RUN,
            groups=1_000_000,
            build=BUILD,
            hmget=rounds([500_000]),
            list_p99_ms=rounds([1.5]),
            exports=[export.Exported("CSV", 1_000_000, 90_000_000, rounds([70_000]), rounds([12.34]))],
        ),
        "changes": changes.Report(
            *RUN,
            subscribers=1_000,
            commits=50,
            events_per_s=500,
            seconds=20.0,
            quiet=changes.Spread(50_000, 30.0, 90.0, 99.0, 0),
            loaded=changes.Spread(50_000, 130.0, 390.0, 400.0, 0),
        ),
        "fair": fair.Report(
            *RUN,
            groups=1_000_000,
            connections=8,
            seconds=20.0,
            loads=[fair.Loaded("documents", 999, 2.0, 26.0, 40.0, 0, {"200": 1_234, "429": 7})],
        ),
        "console": console.Report(
            *RUN,
            browser="Chromium 130",
            groups=1_000_000,
            loads=20,
            rows_p50_ms=123.4,
            rows_p99_ms=301.0,
            transfer_bytes=61_234,
            seconds=120,
            events=1_200,
            pages=118,
            samples=[console.Sample(60.1, 5_000_000, 4_000), console.Sample(120.2, 6_100_000, 4_400)],
        ),
        "source": source.Report(
            *RUN,
            orders=1_000_000,
            writes=[source.Writes("insert an order", 16, 1_234.0, 1_111.0, 11.1)],
            backfill_per_s=5_432.0,
            publish_per_s=9_876.0,
            relay_rss_mb=90.1,
            shop_p99_ms=[1.2, 3.4],
        ),
        "chaos": chaos.Report(
            *RUN,
            faults=[
                chaos.Fault(name, times, 1000 * times, "abc1234", "2026-06-01")
                for family in chaos.FAMILIES.values()
                for name, times in family.faults.items()
            ],
        ),
    }


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with results of full size."""
    monkeypatch.setattr("bench.runs.RESULTS", tmp_path)
    for name, found in measured_all().items():
        path = save(name, 1, 1, found)
        assert read(tmp_path, name, type(found)) == found
        assert path == tmp_path / f"{name}.json"
    for name in (LARGER, OTHER):
        save(name, 1, 1, measured_all()["lists"])
    return tmp_path


def test_every_section_has_date_commit_and_machine(results: Path) -> None:
    made = sections(results)
    assert made.pop("throughput") == "![Throughput, and its ceilings](images/throughput.svg)\n"
    assert made.keys() == {GLANCE, "grown", "valkey", *measured_all()}
    for text in made.values():
        assert "2026-06-01, commit `abc1234`, 2 processors, 8 GiB" in text.replace("\n", " ")
        assert max(len(one) for one in text.splitlines() if not one.startswith(("|", "!"))) <= 120


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("projector", "| from Kafka, 4 partitions | 96 300/s | 79 000/s | 38 200/s | 0.48 |"),
        ("projector", "Aim: 0.8 of the lower ceiling; missed: Kafka (0.48)."),
        ("visible", "| Kafka | 1 998/s | 1.0, 2.0, 3.0 ms | 20, 140, 900 ms |"),
        ("visible", "Aim: p99 under 100 ms at 2 000 events/s; missed: Kafka (140 ms)."),
        ("replay", "| `projector replay build --workers 2` | 30 000/s | 0.38 | 1.50 | 10.00 |"),
        ("replay", "Aim: 0.5 of poll and decode; missed: 2 workers (0.38). Aim: 5 times naive; met."),
        ("replay", "A worker takes 244 MiB at most"),
        ("api", "| the list | 12 500/s | 2.4, 123 ms | 6 320/s | 2.4, 123 ms | 0.51 |"),
        ("api", "Aim: 0.5 of bare; missed: one filter (0.42)."),
        ("lists", "| all | 1 000 000 | 0.8, 1.6 ms | 1 ms | 0.2 ms | 10, 20 ms (60x) |"),
        ("lists", "| the same, deep | 400 000 | refused | 20 ms | 0.2 ms | 10, 20 ms (80x) |"),
        (
            "lists",
            "each; missed: one customer (1.2 ms); the same, deep (refused); text with few hits (120 ms)",
        ),
        ("lists", "for lists that find over 5 % of the groups; missed: status of 80 % (7x)."),
        ("lists", "for others, except `q`; missed: one customer (2x)."),
        ("lists", "Memory: 1.70 kB per group of 2.0 orders in Redis; `projector status` estimates 1.61 kB"),
        ("lists", "1.61 kB from samples. It consists of documents 0.90 kB, sorts 0.78 kB. Aim: 1.8 kB"),
        ("lists", "Aim: 1.8 kB; met."),
        ("lists", "| 20 sellers | 23 000 | 30, 40 ms | 22 | 2.2 ms | 3.2 ms | 8.0 ms |"),
        ("lists", "no adversarial call over 20 ms (p99, and the median of the longest); met."),
        (
            "lists",
            "a no-op script of 2.5 ms, run between the lists of the first table, took 6.7 ms (p99) and at most 19 ms.",
        ),
        ("counted", "| all: facets | 1 000 000 | 4.0, 6.0 ms | 5.0 ms | 1 000, 1 100 ms | 250x |"),
        (
            "counted",
            "Aim: facets 10 ms, sums 5 ms (p50); missed: one customer: sums (6.0, 31 ms); rare: facets (refused).",
        ),
        ("counted", "Aim: no call over 20 ms (p99); missed: one customer: sums (25 ms)."),
        ("counted", "Aim: 50 times as fast as `GROUP BY` where over 5 % match; met."),
        ("export", "| CSV | 1 000 000 | 70 000/s | 12 ms |"),
        ("changes", "| at 500 events/s | 130, 390, 400 ms |"),
        ("changes", "missed: loaded (390 ms)."),
        ("fair", "| documents | 2.0, 26, 40 ms | 0 | 1 234 of 200, 7 of 429 |"),
        ("fair", "Aim: p99 25 ms; missed: documents (26 ms)."),
        ("console", "| first rows after the navigation: p50, p99 | 123, 301 ms |"),
        ("console", "| files of the page, compressed, with headers | 61 kB |"),
        ("console", "| used heap after 60 s and 120 s of live updates | 5.00, 6.10 MB |"),
        ("console", "Aim: first rows 300 ms; missed: p99 (301 ms). Aim: 80 kB; met."),
        ("console", "Aim: heap and nodes within 20 % of the first; missed: heap (1.2x)."),
        ("chaos", "| a process asleep beyond its session | 50 | 50 000 | abc1234 |"),
        ("chaos", "No record was lost, applied twice or dropped silently. The last run: 2026-06-01"),
    ],
)
def test_a_section_has_figures_and_missed_aims(results: Path, name: str, expected: str) -> None:
    assert expected in sections(results)[name].replace("\n", " ")


def test_a_section_without_results_stays_unchanged(results: Path) -> None:
    (results / "replay.json").unlink()
    made = sections(results)
    assert made.keys() == {GLANCE, "grown", "valkey", *measured_all()} - {"replay"}
    assert charts(results).keys() == {"lists.svg"}
    text = "a\n<!-- bench: replay -->\nold\n<!-- end -->\n<!-- bench: api -->\nold\n<!-- end -->\nz\n"
    expected = "a\n<!-- bench: replay -->\nold\n<!-- end -->\n<!-- bench: api -->\nnew\n<!-- end -->\nz\n"
    assert render(text, {"api": "new\n"}) == expected
    with pytest.raises(AssertionError, match="no section visible"):
        render(text, {"visible": "new\n"})


def test_only_a_full_run_gets_the_plain_name(results: Path) -> None:
    assert save("api", 300, 20_000, measured_all()["api"]).name == "api-300.json"
    assert sections(results).keys() == {"throughput", GLANCE, "grown", "valkey", *measured_all()}


def test_a_chaos_run_counts_only_with_enough_of_each_fault() -> None:
    family = chaos.FAMILIES["brokers"]
    full: list[dict[str, object]] = [{"name": name, "times": n, "records": 7} for name, n in family.faults.items()]
    assert names(chaos.survived(family, lines(full[::-1]))) == [*family.faults]
    half: list[dict[str, object]] = [{"name": "partition added", "times": 15, "records": 5}] * 2
    assert chaos.survived(family, lines([full[0], *half, full[2]]))[1] == chaos.Fault("partition added", 30, 10)
    assert names(chaos.survived(family, lines([full[0], half[0], full[2]]))) == [full[0]["name"], full[2]["name"]]
    assert names(chaos.survived(family, lines(full[:1]))) == [full[0]["name"]]
    with pytest.raises(ValueError, match="found fire"):
        chaos.survived(family, lines([*full, {"name": "fire", "times": 1, "records": 1}]))


def test_a_short_run_has_the_settings_of_the_environment_and_each_fault_once() -> None:
    short = chaos.shortened(chaos.FAMILIES["kills"], {"CHAOS_KILLS": "100", "CHAOS_ZOMBIES": "1"})
    assert short.settings == {"CHAOS_KILLS": "100", "CHAOS_POINT_ROUNDS": "30"}
    once: list[dict[str, object]] = [{"name": name, "times": 1, "records": 7} for name in short.faults]
    assert names(chaos.survived(short, lines(once))) == [*short.faults]


def test_a_run_of_one_family_leaves_the_rows_of_the_others() -> None:
    fire, flood = chaos.Fault("partition added", 30, 7), chaos.Fault("`kill -9` at random moments at full load", 300, 9)
    first = chaos.merged(chaos.Report("2026-06-01", "aaa", RUN[2], []), [fire])
    both = chaos.merged(chaos.Report("2026-06-02", "bbb", RUN[2], first.faults), [flood])
    assert [(one.name, one.commit) for one in both.faults] == [(flood.name, "bbb"), (fire.name, "aaa")]
    again = chaos.merged(chaos.Report("2026-06-03", "ccc", RUN[2], both.faults), [fire])
    assert [one.commit for one in again.faults] == ["bbb", "ccc"]


def names(faults: list[chaos.Fault]) -> list[str]:
    return [one.name for one in faults]


def lines(faults: list[dict[str, object]]) -> bytes:
    return b"".join(json.dumps(fault).encode() + b"\n" for fault in faults)


def test_a_throughput_chart_has_a_bar_for_each_value_and_the_aim() -> None:
    drawn = bars("t", "s", ["ours", "ceiling"], {"<a>": Row([Bar(0, 30, "30/s"), Bar(1, 100, "100/s")], 80)})
    assert re.findall(r'<rect class="f\d" x="236" .*? width="([\d.]+)"', drawn) == ["144.0", "480.0"]
    assert re.findall(r'<line class="aim" x1="([\d.]+)"', drawn) == ["620.0"]
    assert "&lt;a&gt;" in drawn


def test_numbers() -> None:
    assert [rate(value) for value in (3_217, 9_994, 12_345)] == ["3 220/s", "9 990/s", "12 300/s"]
    assert [ms(value) for value in (0.04, 9.94, 10.6, 12_345.6)] == ["0.0", "9.9", "11", "12 346"]
    assert [times(value) for value in (0.058, 1.04, 9.96, 1_234.0)] == ["0.058x", "1x", "10x", "1 234x"]
