"""Every command of the docs is run by a test, or listed here with the reason. All commands and files can be parsed."""

import ast
import configparser
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import typer
import yaml
from jsonschema import Draft7Validator  # type: ignore[import-untyped]

from projector.cli.commands import app
from projector.readmodel.schema.actions import Action, Chosen, Redrive
from projector.settings import Settings
from tests.documented import NOT_HERE, ROOT, Place, blocks, commands, here, pages, typed

SHELLS = ("sh", "console")
# Beside shells; "" is for pictures and addresses.
LANGUAGES = ("", "ini", "java", "js", "json", "mermaid", "properties", "python", "sql", "toml", "yaml")
# Blocks that no test runs. Their commands for `projector` are parsed like all others.
NOT_RUN = {
    Place("README.md", "In a minute", "sh"): "installs into .venv; the tutorial's test runs what it starts",
    Place("tutorial.md", "1. Start", "console"): "the same",
    Place("CONTRIBUTING.md", "Contributing", "sh"): "clones a repository, and runs all tests",
    Place("CONTRIBUTING.md", "Add a filter", "sh"): "runs tests, for code that a reader writes",
    Place("dependencies.md", "Known vulnerabilities", "sh"): "installs a tool, and asks PyPI",
    Place("kubernetes.md", "Replay", "sh"): "helm and kubectl alone; test_the_values_of_kubernetes_fit_the_chart",
    Place("releasing.md", "The image", "sh"): "docker alone",
}
VALUES = {"N": "1", "NUMBER": "1", "NUMBER...": "1", "POSITION": "orders/0@17", "TEXT": "total", "F": "0.1"}


def test_every_block_is_run_or_listed() -> None:
    found = {place for place in blocks() if place.language in SHELLS}
    run = {*places_run()}
    assert len(run) >= 50
    assert run & NOT_RUN.keys() == set()
    assert run | NOT_RUN.keys() == found


def test_the_readme_is_short() -> None:
    assert len(pages()["README.md"].split()) <= 1_200


def test_what_cannot_run_is_named_by_a_page() -> None:
    scripts = [text for place, texts in blocks().items() if place.language in SHELLS for text in texts]
    assert NOT_HERE.keys() - {words[0] for script in scripts for words in commands(script)} == set()


def test_every_block_has_a_language_that_is_known() -> None:
    assert {place.language for place in blocks()} <= {*SHELLS, *LANGUAGES}
    pictures = [text for place, text in blocks().items() if place.language == ""]
    assert [text for text in pictures if re.search(r"^(\$|projector|docker|make|pip|curl) ", str(text), re.M)] == []


def places_run() -> Iterator[Place]:
    """Yields the blocks that tests take by `shell(...)`; those of the tutorial and of runbooks are run page by page."""
    by_page = ("tutorial.md", "runbooks/Order")
    yield from (one for one in blocks() if one.page.startswith(by_page) and one.language == "sh")
    for path in (ROOT / "tests").glob("[!u]*/test_documented.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "shell":
                page, heading, *language = (ast.literal_eval(one) for one in node.args)
                yield Place(page, heading, *(language or ["sh"]))


def spans(text: str) -> Iterator[str]:
    """Yields what stands in backticks outside of blocks."""
    for paragraph in re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S).split("\n\n"):
        yield from re.findall(r"(?<!\\)`([^`]+)`", paragraph)


class Called(NamedTuple):
    """A command of `projector`. In running text it may be named without what it requires."""

    page: str
    is_in_block: bool
    arguments: list[str]


def called() -> Iterator[Called]:
    scripts = [(page, False, span.replace("\n", " ")) for page, text in pages().items() for span in spans(text)]
    for place, texts in blocks().items():
        if place.language in SHELLS:
            scripts += [(place.page, True, typed(text) if place.language == "console" else text) for text in texts]
    for page, is_in_block, script in scripts:
        for words in commands(script) if "projector" in script else ():
            named = [i for i, word in enumerate(words) if re.fullmatch(r"(.*/)?projector", word)]
            # `docker compose exec projector projector status`: the first is a service.
            if named and (named[-1] == 0 or words[0] in ("docker", "kubectl")):
                yield Called(page, is_in_block, words[named[-1] + 1 :])


def test_every_command_can_be_parsed() -> None:
    found = [one for one in called() if one.arguments]
    assert len(found) >= 250
    assert len({one.page for one in found}) >= 50
    assert [f"{one.page}: {wrong}" for one in found if (wrong := error(one))] == []


def error(one: Called) -> str:
    """Returns what is wrong with a command; an empty text if nothing is."""
    try:
        parse(one.arguments)
    except Exception as found:  # noqa: BLE001  # the classes of Typer's errors are private
        is_named = re.match(r"Missing parameter|.* requires an argument", str(found)) and not one.is_in_block
        return "" if is_named else f"projector {' '.join(one.arguments)}: {found}"
    return ""


def parse(arguments: list[str]) -> None:
    """Raises an error of click. `[--json]` is an option that may be given, `...` stands for more."""
    command: Any = typer.main.get_command(app)
    words = [re.sub(r"^\[|\]$", "", word) for word in arguments if word != "..."]
    words = [VALUES.get(word, word) for word in words]
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    if hasattr(command, "commands") and words and not words[0].startswith("-"):
        raise ValueError(f"no such command: {words[0]}")
    if words or not hasattr(command, "commands"):
        command.make_context(command.name, words)


@pytest.mark.parametrize("wrong", ["replay --shard 16", "replay drop", "publish --sample x", "parked lst", "export"])
def test_a_wrong_command_cannot(wrong: str) -> None:
    assert error(Called("", True, wrong.split()))
    assert error(Called("", False, ["replay", "--shards"])) == ""


def test_the_services_of_compose_have_settings_that_exist() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    ours = {name: one for name, one in services.items() if one.get("image") == "order-group-projector"}
    assert ours.keys() == {"projector", "source", "api"}
    for service in ours.values():
        parse(service["command"])
        assert {*service["environment"]} <= settings()


def test_the_unit_of_systemd_starts_a_command_with_settings_that_exist() -> None:
    (text,) = blocks()[Place("deploying.md", "systemd", "ini")]
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(text)
    assert unit.sections() == ["Unit", "Service", "Install"]
    program, *arguments = unit["Service"]["ExecStart"].split()
    assert Path(program).name == "projector"
    parse(arguments)
    assert {one.split("=")[0] for one in unit["Service"]["Environment"].split()} <= settings()


def settings() -> set[str]:
    of_kafka = re.findall(r"KAFKA_[A-Z_]+", (ROOT / "events" / "logs" / "kafka" / "url.py").read_text())
    return {name.upper() for name in Settings.model_fields} | {*of_kafka}


def test_the_values_of_kubernetes_fit_the_chart() -> None:
    """As Helm reads them: `--set` makes numbers of digits, `--set-string` does not."""
    helm = ROOT / "deploy" / "helm"
    schema, values = json.loads((helm / "values.schema.json").read_text()), helm / "values.yaml"
    (mine,) = blocks()[Place("kubernetes.md", "Install", "yaml")]
    wanted = {**yaml.safe_load(values.read_text()), **yaml.safe_load(mine)}
    assert {*wanted["projector"]["settings"]} <= settings()
    (text,) = blocks()[Place("kubernetes.md", "Replay", "sh")]
    changes = re.findall(r"--(set(?:-string)?) '?([\w.]+)=(?:\{(.*)\}|(\w+))", text)
    assert len(changes) == 3
    for option, name, many, one in changes:
        part, field = name.split(".")
        assert field in wanted[part]
        read = str if option == "set-string" else yaml.safe_load
        wanted[part] = {**wanted[part], field: [read(item) for item in many.split(",")] if many else read(one)}
        Draft7Validator(schema).validate(wanted)
        if many:
            parse(["replay", *wanted[part][field]])
    (install,) = blocks()[Place("kubernetes.md", "Install", "sh")]
    secrets = re.findall(r"secret generic ([\w-]+)", install)
    assert secrets == [*wanted["secrets"], *wanted["api"]["secrets"]]
    assert {*re.findall(r"--from-literal=(\w+)=", install)} <= settings()


def test_the_action_of_an_operator_can_be_read() -> None:
    (text,) = blocks()[Place("operators.md", "Actions", "json")]
    found: Action = msgspec.convert(json.loads(text), Action)
    assert found == Redrive(arguments=Chosen(positions=("orders/0@17",)), dry_run=True)


def test_every_block_of_yaml_can_be_parsed() -> None:
    found = [text for place, texts in blocks().items() if place.language == "yaml" for text in texts]
    assert len(found) >= 3
    assert all(yaml.safe_load(text) for text in found)


@pytest.mark.parametrize(
    ("script", "left"),
    [
        ("KEY=$(openssl rand -hex 32)\nkubectl get pods   # it's\n", "KEY=$(openssl rand -hex 32)\n"),
        ("kubectl exec pod-0 -- projector status\n", "projector status\n"),
        ("docker compose exec -T projector projector publish -\n", "projector publish -\n"),
        ("docker compose ps api \\\n  | grep api\necho x | kubectl apply -f -\n", ""),
        ("A=b projector run  # or docker\n", "A=b projector run  # or docker\n"),
    ],
)
def test_what_cannot_run_is_left_out(script: str, left: str) -> None:
    assert here(script) == left
