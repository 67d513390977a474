"""What the code has, the docs tell: every setting, command, option of the log, Redis key and dependency."""

import re
import tomllib
from pathlib import Path

import pytest

from api.metrics import Metrics
from projector.cli.commands import app
from projector.readmodel.keys import Generation
from projector.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
OPERATIONS = (ROOT / "docs" / "ops.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()


@pytest.mark.parametrize("name", [name.upper() for name in Settings.model_fields])
def test_every_setting_is_in_the_table(name: str) -> None:
    assert re.search(rf"^\| `{name}` \|", README, re.MULTILINE)


@pytest.mark.parametrize(
    "command", [command.callback.__name__ for command in app.registered_commands if command.callback]
)
def test_every_command_is_told(command: str) -> None:
    assert f"| `projector {command}" in README


def test_every_variable_that_kafka_s_settings_read_is_told() -> None:
    names = set(re.findall(r"KAFKA_[A-Z_]+", (ROOT / "events" / "kafka_url.py").read_text()))
    assert names
    assert {name for name in names if f"`{name}`" not in README} == set()


def test_every_key_is_in_the_table() -> None:
    keys = Generation(0, 1, 1).keys(0)
    names = [name for name in keys.__slots__ if name != "prefix"]
    assert len(names) >= 7
    assert [name for name in names if f"| `{name}` |" not in ARCHITECTURE] == []


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [name for extra in project["optional-dependencies"].values() for name in extra]
    names = {re.split(r"[\[<>=;]", name)[0] for name in [*project["dependencies"], *extras]} - {project["name"]}
    table = ARCHITECTURE[ARCHITECTURE.index("## Dependencies") :]
    assert {name for name in names if name not in table} == set()


def test_every_metric_is_in_the_table() -> None:
    names = {family.name + ("_total" if family.type == "counter" else "") for family in Metrics().registry.collect()}
    assert len([name for name in names if name.startswith("order_groups_api_")]) >= 7
    assert {name for name in names if f"`{name}`" not in OPERATIONS} == set()


def test_every_reason_for_a_refusal_is_told() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "api").glob("*.py"))
    reasons = set(re.findall(r'Refusal\(\s*"(\w+)"|\.refused = "(\w+)"', sources))
    assert len(reasons) >= 9
    assert [one or other for one, other in reasons if f"`{one or other}`" not in OPERATIONS] == []


def test_every_file_named_is_there() -> None:
    named = set(re.findall(r"`((?:tests|docs|bench|events|projector|api)/[\w./-]+)`", README))
    named |= set(re.findall(r"\]\(([\w./-]+)\)", README))
    assert len(named) > 5
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
