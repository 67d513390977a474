"""What the Helm chart renders, without helm and without a cluster: `make chart` renders, this checks the result."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import typer
import yaml
from jsonschema import Draft7Validator  # type: ignore[import-untyped]

from projector.cli.commands import app
from projector.settings import Settings
from tests.chart import render

VALUES = sorted(render.VALUES.glob("*.yaml"))
OBJECTS = {path.stem: list(render.read(render.GOLDEN / path.name)) for path in VALUES}
# The oldest and the newest version of Kubernetes that the chart is for.
VERSIONS = ("1.29", "1.37")
# They are kinds of operators, whose schemas are not part of Kubernetes.
FOREIGN = {"PrometheusRule", "ServiceMonitor", "ScaledObject"}
KINDS = {
    *("ConfigMap", "Deployment", "HorizontalPodAutoscaler", "Job", "NetworkPolicy", "PodDisruptionBudget"),
    *("Service", "ServiceAccount", "StatefulSet"),
}


def of_kind(name: str, *kinds: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in OBJECTS[name] if one["kind"] in kinds}


def pods(name: str) -> dict[str, dict[str, Any]]:
    """Component -> template of its pod."""
    templates = [one["spec"]["template"] for one in of_kind(name, "Deployment", "Job", "StatefulSet").values()]
    return {one["metadata"]["labels"]["app.kubernetes.io/component"]: one for one in templates}


def containers() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yields the component, the pod, and its container."""
    for name in OBJECTS:
        for component, template in pods(name).items():
            (container,) = template["spec"]["containers"]
            yield component, template["spec"], container


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_the_golden_files_are_of_this_chart(values: Path) -> None:
    found = (render.GOLDEN / values.name).read_text().splitlines()[0]
    assert found == f"# {render.digest(values)}", "make chart"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_has_the_schema_of_kubernetes(version: str) -> None:
    seen = set()
    for one in (one for objects in OBJECTS.values() for one in objects if one["kind"] not in FOREIGN):
        assert kubernetes_validate.validate(one, version, strict=True) == version
        seen.add(one["kind"])
    assert seen == KINDS
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(
            {**of_kind("all", "Job")["order-group-projector-replay-1"], "spec": {}}, version, strict=True
        )


def test_objects_of_operators_are_there_only_on_demand() -> None:
    assert {one["kind"] for one in OBJECTS["all"]} == KINDS | FOREIGN
    for name in ("default", "small"):
        assert {one["kind"] for one in OBJECTS[name]} & FOREIGN == set()
        assert of_kind(name, "Job").keys() == set()
        assert "source" not in pods(name)


def test_pods_may_nothing_that_they_do_not_need() -> None:
    for component, pod, container in containers():
        assert pod["automountServiceAccountToken"] is False
        assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 10001), component
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert [one["mountPath"] for one in container["volumeMounts"] if not one.get("readOnly")] == ["/tmp"]
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


def test_commands_and_options_exist() -> None:
    expected = {"projector": {"run"}, "api": {"serve"}, "replay": {"replay"}, "source": {"source"}}
    root: Any = typer.main.get_command(app)
    for component, _, container in containers():
        name, *rest = container["args"]
        assert {name} == expected[component]
        known = {option for param in root.commands[name].params for option in param.opts}
        assert {word for word in rest if word.startswith("--")} <= known


def test_settings_exist_and_none_is_a_secret() -> None:
    known = {name.upper() for name in Settings.model_fields} | {"KAFKA_INSTANCE", "KAFKA_TLS_CA"}
    secret = {"JWT_SECRET", "KAFKA_PASSWORD", "API_KEY_HASHES", "SOURCE_URL"}
    for component, _, container in containers():
        names = [one["name"] for one in container["env"]]
        assert len(names) == len(set(names)), component
        assert set(names) <= known, component
        assert set(names) & secret == set()
        for one in container["env"]:
            # Such as 2.68435456e+08, which is no number of bytes.
            assert not re.fullmatch(r"[\d.]+e[+-]\d+", one.get("value", ""))
    given = {one["secretRef"]["name"] for one in pods("all")["api"]["spec"]["containers"][0]["envFrom"]}
    assert given == {"order-groups", "order-groups-api"}, "the API needs no password of Kafka"


def test_a_projector_is_a_static_member_by_the_name_of_its_pod() -> None:
    for name in OBJECTS:
        (projector,) = of_kind(name, "StatefulSet").values()
        env = {one["name"]: one for one in projector["spec"]["template"]["spec"]["containers"][0]["env"]}
        assert env["KAFKA_INSTANCE"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
        assert projector["spec"]["serviceName"] in of_kind(name, "Service")


def test_probes_ask_the_port_that_is_served() -> None:
    ports = {"projector": "PROJECTOR_PORT", "api": "API_PORT", "source": "SOURCE_PORT"}
    for component, _, container in containers():
        if component == "replay":
            assert "livenessProbe" not in container
            continue
        (port,) = container["ports"]
        env = {one["name"]: one.get("value") for one in container["env"]}
        assert env[ports[component]] == str(port["containerPort"])
        assert container["livenessProbe"]["httpGet"] == {"path": "/health/live", "port": port["name"]}
        assert container["readinessProbe"]["httpGet"] == {"path": "/health/ready", "port": port["name"]}


@pytest.mark.parametrize("name", OBJECTS)
def test_what_refers_to_pods_finds_them(name: str) -> None:
    labels = {component: template["metadata"]["labels"] for component, template in pods(name).items()}
    for kind, path in (("Service", "selector"), ("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        for one in of_kind(name, kind).values():
            selector = one["spec"][path].get("matchLabels", one["spec"][path])
            found = [component for component, have in labels.items() if selector.items() <= have.items()]
            assert found == [one["metadata"]["labels"]["app.kubernetes.io/component"]], one["metadata"]["name"]
    services = [one["metadata"]["labels"] for one in of_kind(name, "Service").values()]
    for one in of_kind(name, "ServiceMonitor").values():
        selector = one["spec"]["selector"]["matchLabels"]
        assert [selector.items() <= have.items() for have in services].count(True) == 1
    for one in of_kind(name, "HorizontalPodAutoscaler", "ScaledObject").values():
        target = one["spec"]["scaleTargetRef"]
        scaled = of_kind(name, target["kind"])[target["name"]]
        assert "replicas" not in scaled["spec"], "each upgrade would reset it"


def test_values_that_the_chart_does_not_know_are_refused() -> None:
    validator = Draft7Validator(json.loads((render.CHART / "values.schema.json").read_text()))
    values = yaml.safe_load((render.CHART / "values.yaml").read_text())
    assert validator.is_valid(values)
    assert values.keys() == validator.schema["properties"].keys() - {"global"}
    for part, change in (
        ("projector", {"replica": 3}),
        ("api", {"settings": {"JWT_SECRET": "in plain text"}}),
        ("settings", {"redis_url": "redis://redis"}),
        ("projector", {"autoscaling": {"kind": "on"}}),
    ):
        assert not validator.is_valid({**values, part: change}), part


def test_the_chart_is_of_this_version() -> None:
    project = tomllib.loads((render.ROOT / "pyproject.toml").read_text())["project"]
    assert yaml.safe_load((render.CHART / "Chart.yaml").read_text())["appVersion"] == project["version"]


def test_every_value_is_documented() -> None:
    page = (render.ROOT / "docs" / "kubernetes.md").read_text()
    values = yaml.safe_load((render.CHART / "values.yaml").read_text())
    assert [name for name in values if f"`{name}" not in page] == []
