"""The distributions as a user installs them: built, put into fresh environments, and used there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import environment
from tests.servers.process import free_port, wait_until

ROOT = Path(__file__).parents[2]
# The newest distribution on PyPI that owns the name `events`; opensearch-py needs it.
OTHER = "Events==0.5"
# Where dependencies come from.
PIP_SETTINGS = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "HTTP", "http"))}
PUBLISH = """
from pathlib import Path
from order_group_events import InvalidEvent, Position, Publisher

with Publisher(f"sqlite://{Path('.projector/orders.db').absolute()}", source="/shop") as publisher:
    data = {"id": "order_1", "order_group_id": "og_1", "version": 1, "seller_id": "sel_1", "status": "pending",
            "currency_code": "eur", "total": "37.00", "created_at": "2026-06-01T10:00:00Z",
            "updated_at": "2026-06-01T10:00:00Z"}
    position: Position = publisher.publish("order.created", data)
    try:
        publisher.publish("order.created", {**data, "total": "much"})
    except InvalidEvent as error:
        print(error)
print(position)
"""


def run(*command: str | Path, cwd: Path, **settings: str) -> str:
    done = subprocess.run(command, cwd=cwd, env=environment(**settings), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both sdists, and the wheels that were built from them."""
    folder = tmp_path_factory.mktemp("dist")
    for place in (ROOT, ROOT / "events"):
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, place, cwd=folder)
    return folder


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def fresh(folder: Path, *requirements: str | Path) -> Path:
    """Returns the `bin` of a new environment with these installed."""
    run(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    pip = (folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check")
    run(*pip, "install", "-q", "-c", ROOT / "constraints.txt", *requirements, cwd=folder, **PIP_SETTINGS)
    run(*pip, "check", cwd=folder)
    return folder / "bin"


@pytest.mark.thorough
def test_the_wheel_has_the_files_of_the_console(built: Path) -> None:
    static = ROOT / "api" / "console" / "static"
    wanted = {f"order_group_projector/{path.relative_to(ROOT)}" for path in static.rglob("*") if path.is_file()}
    assert len(wanted) >= 20
    with zipfile.ZipFile(only(built, "order_group_projector-*.whl")) as wheel:
        assert wanted <= set(wheel.namelist())


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["order_group_projector", "order_group_events"])
def test_a_wheel_owns_one_name_at_the_top(built: Path, name: str) -> None:
    with zipfile.ZipFile(only(built, f"{name}-*.whl")) as wheel:
        names = wheel.namelist()
        top = {path.split("/")[0] for path in names}
        assert top == {name, only(built, f"{name}-*.whl").name.rpartition("-py3")[0] + ".dist-info"}
        modules = {path: wheel.read(path).decode() for path in names if path.endswith(".py")}
    assert len(modules) >= 20
    ours = re.compile(r"^\s*(?:from|import) (?:events|projector|api)\b", re.MULTILINE)
    code = {path: re.sub(r'""".*?"""', "", text, flags=re.DOTALL) for path, text in modules.items()}
    assert [path for path, text in code.items() if ours.search(text)] == []
    typed = {path for path in names if path.endswith("py.typed")}
    assert typed >= ({f"{name}/py.typed"} if name == "order_group_events" else {f"{name}/api/py.typed"})
    assert any(path.endswith("licenses/LICENSE") for path in names)


@pytest.mark.thorough
def test_an_sdist_has_what_a_wheel_is_built_from_and_no_more(built: Path) -> None:
    for name, expected in (
        ("order_group_projector", {"events", "projector", "api", "README.md", "CHANGELOG.md", "constraints.txt"}),
        ("order_group_events", {"contract", "logs", "README.md", "publisher.py", "hatch_build.py"}),
    ):
        with tarfile.open(only(built, f"{name}-*.tar.gz")) as sdist:
            top = {path.split("/")[1] for path in sdist.getnames() if "/" in path}
        assert top >= expected | {"LICENSE", "pyproject.toml", "PKG-INFO"}
        assert top & {"tests", "bench", "sources", ".venv"} == set()


@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_the_publisher_and_the_application_in_fresh_environments(built: Path, tmp_path: Path) -> None:
    publisher = fresh(tmp_path / "publisher", only(built, "order_group_events-*.whl"), OTHER)
    wheel = f"order-group-projector[embedded] @ {only(built, 'order_group_projector-*.whl').as_uri()}"
    application = fresh(tmp_path / "application", wheel, OTHER)
    work = tmp_path / "work"
    work.mkdir()
    for environment_of in (publisher, application):
        run(environment_of / "python", "-c", "from events import Events", cwd=work)
    installed = run(publisher / "python", "-m", "pip", "list", cwd=work).lower()
    assert "kafka-python" in installed
    assert [name for name in ("fastapi", "redis", "pydantic", "uvicorn") if name in installed] == []
    (work / "shop.py").write_text(PUBLISH)
    run(sys.executable, "-m", "mypy", "--strict", "--python-executable", publisher / "python", "shop.py", cwd=work)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert run(application / "projector", "--version", cwd=work).strip() == f"order-group-projector {version}"
    with up(application, work) as curl:
        printed = run(publisher / "python", "shop.py", cwd=work)
        assert printed.splitlines() == ['$.data.total: expected decimal, got "much"', "orders/0@1"]
        wait_until(lambda: '"id":"og_1"' in run(*curl, cwd=work), 30, "the event of the publisher")
        run(application / "projector", "replay", "--yes", "--workers", "2", cwd=work)
        assert "All equal" in run(application / "projector", "verify", cwd=work)
        assert '"id":"og_1"' in run(*curl, cwd=work)


@contextmanager
def up(application: Path, work: Path) -> Iterator[list[str]]:
    """Runs `projector up` during the `with` block. Yields the command that it prints, to list groups."""
    output = work / "up.txt"
    with output.open("w") as file:
        process = subprocess.Popen(
            [application / "projector", "up", "--port", str(free_port())],
            cwd=work,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        wait_until(lambda: process.poll() is not None or "\ncurl " in output.read_text(), 60, "the curl line")
        match = re.search(r"^curl .*$", output.read_text(), re.MULTILINE)
        assert match, output.read_text()
        yield [*shlex.split(match[0]), "-sS"]
    finally:
        process.terminate()
        process.wait(30)
    assert process.returncode == 0, output.read_text()


@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_the_environment_of_the_image_is_small(built: Path, tmp_path: Path) -> None:
    """What the Dockerfile copies into the image; docs/releasing.md promises less than 100 MB."""
    strip = shutil.which("strip")
    assert strip, "binutils are missing"
    wheel = f"order-group-projector[postgres] @ {only(built, 'order_group_projector-*.whl').as_uri()}"
    binaries = fresh(tmp_path / "image", wheel)
    run(binaries / "python", "-m", "pip", "uninstall", "-q", "-y", "pip", "setuptools", cwd=tmp_path)
    libraries = [path for path in (tmp_path / "image").rglob("*.so") if ".libs/" not in str(path)]
    assert len(libraries) > 10
    run(strip, "--strip-unneeded", *libraries, cwd=tmp_path)
    files = [path for path in (tmp_path / "image").rglob("*") if path.is_file() and not path.is_symlink()]
    assert 30e6 < sum(path.stat().st_size for path in files) < 100e6
    run(binaries / "projector", "--help", cwd=tmp_path)
    probe = (binaries / "python", "-m", "order_group_projector.projector.health.probe")
    done = subprocess.run(probe, cwd=tmp_path, env=environment(API_PORT=str(free_port())), check=False)
    assert done.returncode == 1


def test_the_image_has_both_platforms_a_bill_of_materials_and_the_probe_of_the_wheel() -> None:
    bake, dockerfile = ((ROOT / name).read_text() for name in ("docker-bake.hcl", "Dockerfile"))
    assert 'platforms  = ["linux/amd64", "linux/arm64"]' in bake
    assert "type=sbom" in bake
    commands = re.findall(r"docker buildx bake .*", bake + (ROOT / "docs" / "releasing.md").read_text())
    assert len(commands) == 2
    # Otherwise bake builds the services of docker-compose.yml, without platforms and bill of materials.
    assert all("--file docker-bake.hcl" in command for command in commands)
    assert '"order_group_projector.projector.health.probe"' in dockerfile
    assert (ROOT / "projector" / "health" / "probe.py").exists()
    assert "USER 10001" in dockerfile


def test_both_distributions_have_one_version_and_one_licence() -> None:
    whole, publisher = (tomllib.loads((ROOT / place / "pyproject.toml").read_text()) for place in (".", "events"))
    assert publisher["project"]["version"] == whole["project"]["version"]
    assert set(publisher["project"]["dependencies"]) <= set(whole["project"]["dependencies"])
    assert (ROOT / "events" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
