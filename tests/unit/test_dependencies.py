"""docs/dependencies.md has every package that is installed with us, and its licence as the package itself says."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "dependencies.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# What users install; the tools of the extra `dev` are not passed on.
EXTRAS = {extra: PROJECT["optional-dependencies"][extra] for extra in ("embedded", "postgres")}


def closure(requirements: list[str]) -> set[str]:
    """Names of all packages that these install on this machine."""
    found: set[tuple[str, str]] = set()
    wanted = [Requirement(text) for text in requirements]
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) not in found:
                found.add((name, extra))
                inner = [Requirement(text) for text in metadata.requires(name) or []]
                wanted += [one for one in inner if one.marker is None or one.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}


def licence(name: str) -> str:
    """An SPDX expression where there is one."""
    about = metadata.metadata(name).json
    kinds = [one for one in about.get("classifier", []) if one.startswith("License :: OSI")]
    classified = [one.rpartition(" :: ")[2] for one in kinds]
    said = about.get("license_expression") or "; ".join(classified) or about.get("license")
    assert said, f"{name} does not say its licence"
    return str(said)


def rows() -> list[tuple[str, str, str]]:
    """Package, what it comes with, licence."""
    core = closure([text for text in PROJECT["dependencies"] if needed_here(text)])
    found = dict.fromkeys(core, "")
    for extra, requirements in EXTRAS.items():
        found = {**dict.fromkeys(closure(requirements), f"`{extra}`"), **found}
    return [(name, extra, licence(name)) for name, extra in sorted(found.items())]


def needed_here(text: str) -> bool:
    marker = Requirement(text).marker
    return marker is None or marker.evaluate()


def test_every_package_has_its_licence() -> None:
    wanted = [f"| {name} | {extra} | {said} |" for name, extra, said in rows()]
    found = [line for line in PAGE.partition("|---|---|---|\n")[2].splitlines() if line.startswith("|")]
    assert found == wanted, "expected:\n" + "\n".join(wanted)


def test_copyleft_is_told() -> None:
    """Licences that require more than keeping a notice from those who pass us on."""
    strict = {name for name, _, said in rows() if re.search(r"GPL|General Public|Mozilla|MPL", said)}
    assert {name for name in strict if f"**{name}**" not in PAGE} == set()
    assert strict >= {"crc32c", "psycopg"}
