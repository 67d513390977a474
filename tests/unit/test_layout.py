"""Who may import whom, read off the sources."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("events", "api", "projector", "tests", "bench")
# A module that fits in a head, in lines.
LINES_MAX = 260


def sources(place: str) -> list[Path]:
    path = ROOT / place
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module or ""


@pytest.mark.parametrize(
    ("place", "allowed"),
    [
        ("events", ("events",)),
        ("api", ("api", "events", "projector.readmodel")),
        ("projector/readmodel", ("events", "projector.readmodel")),
        ("tests/oracle.py", ()),
        ("tests/chaos/ledger.py", ("tests.oracle",)),
    ],
)
def test_packages_know_only_what_they_may(place: str, allowed: tuple[str, ...]) -> None:
    names = {(path, name) for path in sources(place) for name in imported(path)}
    assert names, f"{place} imports nothing: is it there?"
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path, name in sorted(names)
        if name.split(".")[0] in OURS and not any(name == ok or name.startswith(ok + ".") for ok in allowed)
    ]
    assert not wrong


def test_modules_fit_in_a_head() -> None:
    modules = [path for package in ("events", "projector", "api", "bench") for path in sources(package)]
    long = [
        f"{path.relative_to(ROOT)}: {lines}"
        for path in modules
        if (lines := len(path.read_text().splitlines())) > LINES_MAX
    ]
    assert modules
    assert not long
