"""Each alert has a page that helps, fires when it should, and else does not."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import without

ROOT = Path(__file__).parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "docs" / "ops" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
NAMES = [rule["alert"] for rule in RULES]
CASES = sorted((ROOT / "tests" / "alerts").glob("*.yaml"))
EVALUATIONS: list[dict[str, Any]] = [
    one for path in CASES for test in yaml.safe_load(path.read_text())["tests"] for one in test["alert_rule_test"]
]
# What a page has, in this order.
SECTIONS = ["Symptom", "Meaning", "First look", "Mend", "After"]


def test_there_is_a_page_for_each_alert_and_an_index_of_all() -> None:
    assert len(NAMES) >= 28
    assert sorted(path.stem for path in RUNBOOKS.glob("OrderGroups*.md")) == sorted(NAMES)
    rows = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\) \| (\w+) \|", (RUNBOOKS / "README.md").read_text(), re.M)
    assert rows == [(rule["alert"], rule["alert"], rule["labels"]["severity"]) for rule in RULES]


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alert_leads_to_its_page(rule: dict[str, Any]) -> None:
    url = rule["annotations"]["runbook_url"]
    assert url == f"docs/runbooks/{rule['alert']}.md"
    page = (ROOT / url).read_text()
    assert page.startswith(f"# {rule['alert']}\n")
    assert re.findall(r"^## (.+)$", page, re.M) == SECTIONS
    for section in re.split(r"^## .+$", page, flags=re.M)[1:]:
        assert len(section.split()) >= 4, section
    look = page.split("## First look")[1].split("## Mend")[0]
    assert re.search(r"`[^`]+`|```", look), "a command or a metric to look at"


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_is_tested_firing_and_not_firing(name: str) -> None:
    found = [bool(one["exp_alerts"]) for one in EVALUATIONS if one["alertname"] == name]
    assert {True, False} == set(found)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_prometheus_agrees(path: Path) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        without("there is no promtool: apt-get install prometheus")
    done = subprocess.run([str(tool), "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout
