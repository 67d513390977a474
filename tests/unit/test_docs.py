"""Everything that the code has is documented: settings, commands, options, Redis keys, metrics, dependencies."""

import json
import re
import tomllib
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from api.middleware.metrics import Metrics
from events.lines import read_lines
from events.logs.kafka.url import PARTITIONS_MAX, REPLICATION_MAX, kafka_settings
from events.logs.log import Entry, Loss
from events.sources.watch import Watch
from projector.cli import reference
from projector.cli.commands import app
from projector.health.metrics import REWINDS
from projector.health.metrics import Metrics as ProjectorMetrics
from projector.health.pulse import Pulse
from projector.readmodel.client.refusals import Refusal
from projector.readmodel.schema import generations
from projector.readmodel.schema.generations import State
from projector.readmodel.schema.keys import LIVE, Generation
from projector.readmodel.schema.tally import Fate
from projector.settings import Settings
from projector.store.aof import Rewrite
from projector.store.commit import Outcome
from tests.chaos.armed.sitecustomize import POINTS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
PUBLISHING = (ROOT / "docs" / "publishing.md").read_text()
PROMISES = (ROOT / "docs" / "promises.md").read_text()
OPERATIONS = (ROOT / "docs" / "ops.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
CONNECTING = (ROOT / "docs" / "connecting.md").read_text()
REBUILDING = (ROOT / "docs" / "rebuilding.md").read_text()
ALERTS = ROOT / "docs" / "ops" / "alerts.yaml"
DASHBOARD = ROOT / "docs" / "ops" / "dashboard.json"
AT_ROOT = ("README.md", "CONTRIBUTING.md")
DOCS = {path: path.read_text() for path in (*(ROOT / name for name in AT_ROOT), *(ROOT / "docs").rglob("*.md"))}


@pytest.mark.parametrize("name", [name.upper() for name in Settings.model_fields])
def test_every_setting_is_in_the_table(name: str) -> None:
    assert re.search(rf"^\| `{name}` \|", SETTINGS, re.MULTILINE)


def test_the_page_of_the_command_line_is_that_of_the_code() -> None:
    assert (ROOT / "docs" / "cli.md").read_text() == reference.render(), "make docs"
    assert len(list(reference.commands(typer.main.get_command(app)))) >= 20


class _Nav(yaml.SafeLoader):  # type: ignore[misc]
    """Reads mkdocs.yml without what MkDocs imports."""


_Nav.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: suffix)


def test_every_page_is_in_the_navigation_once() -> None:
    def pages(entry: object) -> list[str]:
        inner = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ()
        return [entry] if isinstance(entry, str) else [page for one in inner for page in pages(one)]

    site = yaml.load((ROOT / "mkdocs.yml").read_text(), _Nav)
    assert site["strict"] is True
    named = pages(site["nav"])
    # The runbooks, and three pages from the root, are added by docs/mkdocs_hooks.py.
    written = [path.name for path in (ROOT / "docs").glob("*.md")]
    assert sorted(named) == sorted([*written, "index.md", "changelog.md", "contributing.md", "runbooks/"])


def replay_steps() -> dict[str, set[str]]:
    """Step -> its options, without `--help`; "" is `projector replay` without a step."""
    group = typer.main.get_command(app).commands["replay"]  # type: ignore[attr-defined]
    shown = {name: step for name, step in group.commands.items() if not step.hidden}
    return {
        name: {option for param in step.params for option in param.opts if option.startswith("--")} - {"--help"}
        for name, step in {"": group, **shown}.items()
    }


def test_every_step_of_a_replay_is_in_the_table() -> None:
    steps = {name for name in replay_steps() if name}
    assert {"plan", "build", "verify", "switch", "rollback", "drop", "list"} <= steps
    assert [step for step in sorted(steps) if not re.search(rf"^\| `projector replay {step}\b", REBUILDING, re.M)] == []


def test_every_option_of_a_replay_is_in_the_table_with_its_steps() -> None:
    steps = replay_steps()
    named = {"all in one" if name == "" else name: options for name, options in steps.items()}
    rows = dict(re.findall(r"^\| `(--[a-z-]+)[^|]*\| ([^|]+) \|", REBUILDING, re.M))
    assert len(rows) >= 9
    assert rows.keys() == set().union(*steps.values())
    for option, documented in rows.items():
        have = {name for name, options in named.items() if option in options}
        assert set(documented.split(", ")) == ({"all"} if have == set(named) else have), option


def test_every_command_for_parked_events_is_documented_with_its_options() -> None:
    group = typer.main.get_command(app).commands["parked"]  # type: ignore[attr-defined]
    rows = dict(re.findall(r"^\| `projector parked (\w+)([^|]*\|[^|]*)\|", OPERATIONS, re.M))
    assert rows.keys() == group.commands.keys()
    for name, command in group.commands.items():
        options = {option for param in command.params for option in param.opts if option.startswith("--")}
        documented = rows[name] + "`--json` `--data-dir`"
        assert {option for option in options - {"--help"} if option not in documented} == set(), name


def test_every_command_of_a_source_is_documented_with_its_options() -> None:
    group = typer.main.get_command(app).commands["source"]  # type: ignore[attr-defined]
    rows = dict(re.findall(r"^\| `projector source (\w+)([^|]*\|[^|]*)\|", CONNECTING, re.M))
    assert rows.keys() == group.commands.keys()
    for name, command in group.commands.items():
        shown = [param for param in command.params if not getattr(param, "hidden", False)]
        options = {option for param in shown for option in param.opts if option.startswith("--")}
        assert {option for option in options - {"--data-dir"} if option not in rows[name]} == set(), name


def test_every_loss_that_can_be_accepted_is_documented() -> None:
    assert [loss for loss in Loss if f"--accept-loss {loss}" not in REBUILDING] == []


def test_every_state_of_a_generation_is_in_the_diagram() -> None:
    diagram = REBUILDING[REBUILDING.index("```mermaid") :].split("```")[1]
    shown = set(re.findall(r"\w+", diagram))
    # A READY generation is shown as live or kept.
    assert {str(state) for state in State if state is not State.READY} | {"live", "kept"} <= shown


def test_every_make_target_in_the_docs_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {target for text in DOCS.values() for target in re.findall(r"(?:`|^)make ([a-z-]+)", text, re.M)}
    assert len(named) >= 6
    assert named <= targets


def test_every_kafka_variable_is_documented() -> None:
    names = set(re.findall(r"KAFKA_[A-Z_]+", (ROOT / "events" / "logs" / "kafka" / "url.py").read_text()))
    assert names
    assert {name for name in names if f"`{name}`" not in SETTINGS} == set()


def test_the_defaults_of_a_topic_that_is_created_are_documented() -> None:
    made = kafka_settings("kafka://localhost/orders", {})
    assert f"1 to {PARTITIONS_MAX}, by default {made.partitions} |" in SETTINGS
    assert made.replication == -1, "Kafka's value for the default of the broker"
    assert f"1 to {REPLICATION_MAX}, by default as many as the broker's `default.replication.factor` |" in SETTINGS


def test_every_key_is_in_the_table() -> None:
    keys = Generation(0, 1, 1).keys(0)
    names = [getattr(keys, name).removeprefix(keys.prefix) for name in keys.__slots__ if name != "prefix"]
    assert len(names) >= 7
    outside = [LIVE, generations.GENERATIONS, generations.NUMBERS, generations.REPLAY]
    outside += [generations.PAUSED, generations.DEAD_LETTERS_DUE, generations.STARTED, generations.POISON_PILLS]
    outside += [generations.REWRITES]
    assert [name for name in [*names, *outside] if f"| `{name}` |" not in ARCHITECTURE] == []


def test_the_newest_release_of_the_changelog_is_the_version_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    headings = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    (unreleased, undated), *releases = headings
    assert (unreleased, undated) == ("Unreleased", "")
    assert releases[0][0] == project["version"]
    numbers = [tuple(map(int, number.split("."))) for number, _ in releases]
    assert numbers == sorted(numbers, reverse=True)
    dates = [date for _, date in releases]
    assert "" not in dates
    assert dates == sorted(dates, reverse=True)


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [name for extra in project["optional-dependencies"].values() for name in extra]
    names = {re.split(r"[\[<>=;]", name)[0] for name in [*project["dependencies"], *extras]} - {project["name"]}
    table = ARCHITECTURE[ARCHITECTURE.index("## Dependencies") :]
    assert {name for name in names if name not in table} == set()


def metrics() -> dict[str, str]:
    """Name -> type."""
    registries = (Metrics().registry, ProjectorMetrics(Pulse()).registry, Watch().registry)
    found = [family for registry in registries for family in registry.collect()]
    return {family.name + ("_total" if family.type == "counter" else ""): family.type for family in found}


def test_every_metric_is_in_the_table() -> None:
    names = list(metrics())
    assert len([name for name in names if name.startswith("order_groups_api_")]) >= 10
    assert len([name for name in names if name.startswith("order_groups_projector_")]) >= 18
    assert len([name for name in names if name.startswith("order_groups_replay_")]) >= 3
    assert len([name for name in names if name.startswith("order_groups_source_")]) >= 10
    assert {name for name in names if f"`{name}`" not in OPERATIONS} == set()


def test_every_label_of_a_refusal_a_rewind_and_a_fate_is_documented() -> None:
    for value in (*Refusal, *Outcome, *REWINDS, *Fate, *Rewrite):
        assert f"`{value}`" in OPERATIONS, value


def prometheus_expressions() -> list[str]:
    """All expressions in the alert rules and in the dashboard."""
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    for rule in rules:
        assert rule.keys() | {"for"} == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"OrderGroups\w+", rule["alert"])
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"].endswith((".", "?"))
        assert re.fullmatch(r"[1-9]\d*[mh]", rule.get("for", "1m"))
    assert len({rule["alert"] for rule in rules}) == len(rules) >= 15
    panels = [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in panels}) == len(panels) >= 15
    return [rule["expr"] for rule in rules] + [target["expr"] for panel in panels for target in panel["targets"]]


def test_alerts_and_dashboard_use_existing_metrics_and_all() -> None:
    known, used = metrics(), set()
    for expression in prometheus_expressions():
        assert expression.count("(") == expression.count(")"), expression
        for name in re.findall(r"\border_groups_\w+", expression):
            base = re.sub(r"_(bucket|count|sum)$", "", name)
            assert known.get(name) or known.get(base) == "histogram", expression
            used.add(base if known.get(base) == "histogram" else name)
    unused = {name for name in known if name.startswith("order_groups_")} - used
    assert unused == set(), "in no alert and no panel"


def test_alerts_use_existing_labels() -> None:
    known: dict[str, set[str]] = {
        "refusal": set(Refusal),
        "reason": {*REWINDS, "concurrency"},
        "fate": set(Fate),
        "outcome": set(Outcome),
        "rewrite": set(Rewrite),
    }
    found = [
        (label, value)
        for expression in prometheus_expressions()
        for label, values in re.findall(r'(\w+)(?:=~|!=|!~|=)"([^"]+)"', expression)
        for value in values.split("|")
    ]
    assert len(found) >= 5
    assert [(label, value) for label, value in found if value not in known.get(label, {value})] == []


def test_every_reason_for_a_refusal_is_documented() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "api").rglob("*.py"))
    reasons = set(re.findall(r'Refusal\(\s*"(\w+)"|\.refused = "(\w+)"', sources))
    assert len(reasons) >= 9
    assert [one or other for one, other in reasons if f"`{one or other}`" not in OPERATIONS] == []


def test_the_event_of_the_docs_can_be_published_as_it_is() -> None:
    event = PUBLISHING.split("```json\n")[1].split("```")[0]
    ((_, found),) = read_lines(BytesIO(event.encode()))
    assert isinstance(found, Entry), found


def test_every_file_in_the_docs_exists() -> None:
    places = "tests|docs|bench|events|projector|api|deploy"
    for page, text in DOCS.items():
        named = {ROOT / path for path in re.findall(rf"`((?:{places})/[\w./-]+)`", text)}
        named |= {page.parent / path for path in re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", text)}
        assert [str(path) for path in sorted(named) if not path.exists()] == [], page
    assert len(DOCS) >= 30


def test_every_linked_heading_exists() -> None:
    for page, text in DOCS.items():
        linked = re.findall(r"\]\(([\w./-]*\.md)?#([\w-]+)\)", text)
        found = {other: anchors((page.parent / other).read_text() if other else text) for other, _ in linked}
        assert [(other, anchor) for other, anchor in linked if anchor not in found[other]] == [], page


def anchors(text: str) -> set[str]:
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", text, re.M)}


def test_every_command_of_an_operator_exists_with_its_options() -> None:
    """Such as `projector replay drop N`, in spans and blocks of code."""
    operators = ("kubernetes", "sizing", "deploying", "backup", "upgrading", "connections", "credentials")
    pages = [*(ROOT / "docs" / "runbooks").glob("*.md"), *(ROOT / "docs" / f"{name}.md" for name in operators)]
    code = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
    called = re.compile(r"(?:^|[` ])projector ([a-z][^`#\n|]*)", re.MULTILINE)
    named = [line for path in pages for span in code.findall(path.read_text()) for line in called.findall(span)]
    assert len(named) >= 60
    for line in named:
        command: Any = typer.main.get_command(app)
        # `docker compose exec projector projector status`: the first is a service.
        words = line.removeprefix("projector ").split()
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        assert command.name != "projector", line
        options = {option for param in command.params for option in param.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


def test_every_promise_names_existing_tests() -> None:
    """A name without a folder is in the folder of the previous one."""
    table = PROMISES.split("\n\n")[1]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 8
    for row in rows:
        folder, named = ROOT, re.findall(r"`(test[\w/]+\.py)`", row.split(" | ")[-1])
        assert named, row
        for name in named:
            folder = (ROOT / name).parent if "/" in name else folder
            assert (folder / Path(name).name).exists(), name


def test_every_fail_point_is_documented() -> None:
    table = ARCHITECTURE.split("| point | before and after |")[1].split("\n\n")[0]
    points = {name for row in table.splitlines() if row for name in re.findall(r"`([\w-]+)`", row.split("|")[1])}
    assert points == POINTS.keys()
