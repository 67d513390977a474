"""Lints the chart, and writes what it renders: `make chart`. Needs helm.

A golden file has the objects of one file of values, without comments and in one order, and the digest of the chart that
rendered them: tests without helm notice a change after which nobody has rendered.
"""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm"
VALUES = Path(__file__).parent / "values"
GOLDEN = Path(__file__).parent / "golden"
ALERTS = ROOT / "docs" / "ops" / "alerts.yaml"
DASHBOARD = ROOT / "docs" / "ops" / "dashboard.json"
RELEASE, NAMESPACE, KUBERNETES = "order-group-projector", "shop", "1.32.0"
# Stand for the files of docs/ops, which would double the golden file.
THE_ALERTS, THE_DASHBOARD = (
    "docs/ops/alerts.yaml, with the runbooks at https://wiki.example/order-groups",
    "docs/ops/dashboard.json",
)


def digest(values: Path) -> str:
    """Of all that a rendering depends on, except the files of docs/ops, which are passed on as they are."""
    found = hashlib.sha256(values.read_bytes())
    for path in sorted(path for path in CHART.rglob("*") if path.is_file() and path.parent.name != "files"):
        found.update(path.relative_to(CHART).as_posix().encode() + path.read_bytes())
    return found.hexdigest()


def rendered(values: Path) -> list[dict[str, Any]]:
    """Returns the objects, by kind and name. Raises CalledProcessError with the error of helm."""
    text = _helm("template", RELEASE, str(CHART), "-f", str(values), "-n", NAMESPACE, "--kube-version", KUBERNETES)
    found = [_short(one) for one in yaml.safe_load_all(text) if one]
    return sorted(found, key=lambda one: (one["kind"], one["metadata"]["name"]))


def _short(one: dict[str, Any]) -> dict[str, Any]:
    if one["kind"] == "PrometheusRule":
        wanted = ALERTS.read_text().replace(
            "runbook_url: docs/runbooks/", "runbook_url: https://wiki.example/order-groups/"
        )
        assert one["spec"] == yaml.safe_load(wanted), "the alerts are not those of docs/ops"
        one["spec"] = THE_ALERTS
    if one["kind"] == "ConfigMap":
        assert json.loads(one["data"]["order-groups.json"]) == json.loads(DASHBOARD.read_text())
        one["data"]["order-groups.json"] = THE_DASHBOARD
    return one


def read(golden: Path) -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load_all(golden.read_text())


def _helm(*arguments: str) -> str:
    done = subprocess.run(["helm", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def main() -> None:
    for values in sorted(VALUES.glob("*.yaml")):
        print(_helm("lint", "--strict", str(CHART), "-f", str(values), "--kube-version", KUBERNETES), end="")
        text = yaml.safe_dump_all(rendered(values), sort_keys=False, width=110)
        (GOLDEN / values.name).write_text(f"# {digest(values)}\n{text}")


if __name__ == "__main__":
    main()
