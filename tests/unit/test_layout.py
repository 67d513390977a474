"""Who may import whom, read off the sources."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("events", "api", "projector", "tests", "bench")
# A module that fits in a head, in lines.
LINES_MAX = 250
# A folder that fits on a screen, in files.
FILES_MAX = 15


def sources(place: str) -> list[Path]:
    path = ROOT / place
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(
    ("place", "allowed"),
    [
        ("events", ("events",)),
        ("api", ("api", "events", "projector.readmodel")),
        ("projector/readmodel", ("events.contract", "projector.readmodel")),
        ("tests/oracle.py", ("tests.fields",)),
        ("tests/chaos/ledger.py", ("tests.fields", "tests.oracle", "tests.readmodel", "tests.stored")),
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


def test_the_field_lists_of_tests_import_nothing() -> None:
    assert list(imported(ROOT / "tests" / "fields.py")) == []


def test_the_projector_imports_the_api_in_its_command_line_alone() -> None:
    names = {(path.relative_to(ROOT), name) for path in sources("projector") for name in imported(path)}
    of_api = {path for path, name in names if name.split(".")[0] == "api"}
    assert of_api, "who starts the API?"
    assert {path.parent.as_posix() for path in of_api} == {"projector/cli"}


def neighbours(folder: Path) -> dict[str, set[str]]:
    """For what lies in the folder, modules and folders: what of it each imports, all below it included."""
    package = ".".join(folder.relative_to(ROOT).parts) + "."
    beside: dict[str, set[str]] = {}
    for path in folder.rglob("*.py"):
        name = path.relative_to(folder).parts[0].removesuffix(".py")
        found = {one.removeprefix(package).split(".")[0] for one in imported(path) if one.startswith(package)}
        beside.setdefault(name, set()).update(found - {name})
    return beside


def reached(beside: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    left = [start]
    while left:
        new = beside.get(left.pop(), set()) - found
        found |= new
        left.extend(new)
    return found


@pytest.mark.parametrize("place", ["events", "projector/readmodel", "api"])
def test_no_folder_is_in_a_cycle_of_imports(place: str) -> None:
    folders = [path.parent for path in sources(place) if path.name == "__init__.py"]
    assert len(folders) > 3
    wrong = []
    for folder in folders:
        beside = neighbours(folder)
        inner = [name for name in beside if (folder / name).is_dir()]
        wrong += [str((folder / name).relative_to(ROOT)) for name in inner if name in reached(beside, name)]
    assert not wrong


@pytest.mark.parametrize("place", ["events", "projector/readmodel", "api"])
def test_folders_fit_on_a_screen(place: str) -> None:
    folders = [path for path in (ROOT / place, *(ROOT / place).rglob("*")) if path.is_dir()]
    files = {folder: [one for one in folder.iterdir() if one.suffix in (".py", ".lua", ".js")] for folder in folders}
    assert sum(map(len, files.values())) > FILES_MAX
    assert not [
        f"{folder.relative_to(ROOT)}: {len(found)}" for folder, found in files.items() if len(found) > FILES_MAX
    ]


def test_folders_say_what_lives_there() -> None:
    packages = [path for place in ("events", "projector", "api") for path in sources(place) if path.stem == "__init__"]
    assert packages
    assert not [path.relative_to(ROOT) for path in packages if not ast.get_docstring(ast.parse(path.read_text()))]


def test_modules_fit_in_a_head() -> None:
    modules = [path for package in ("events", "projector", "api", "bench") for path in sources(package)]
    modules += [path for kind in ("*.js", "*.css") for path in (ROOT / "api" / "console").rglob(kind)]
    long = [
        f"{path.relative_to(ROOT)}: {lines}"
        for path in modules
        if (lines := len(path.read_text().splitlines())) > LINES_MAX
    ]
    assert modules
    assert not long
