"""Builds wheels of both distributions, each with one top-level package of its own name.

In the repository, packages are top-level folders: `events`, `api`, `projector`. In a site-packages that others use as
well they would replace other packages of these names, so a wheel has them inside `order_group_projector`, and the
publisher's has `events` as `order_group_events`; imports are rewritten. An editable installation is for development: it
has an environment of its own, and leaves everything as it is.
"""

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# What no wheel has.
_LEFT_OUT = shutil.ignore_patterns(
    *("__pycache__", "*.pyc", "hatch_build.py", "pyproject.toml", "PKG-INFO", "README.md", "LICENSE", ".gitignore")
)


class InOnePackage(BuildHookInterface[Any]):
    """Settings: `package`, its name; `folders`, what is in it, `.` for the folder of pyproject.toml itself, renamed;
    `names`, old name of a package -> new one; `leave-out`, modules that it has no use for; `entry`, where the `main` of
    a program is.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        self._made = Path(tempfile.mkdtemp(prefix="order-groups-wheel-"))
        package: str = self.config["package"]
        if version == "editable":
            if entry := self.config.get("entry"):
                build_data["force_include_editable"][str(self._entry(entry))] = f"{package}/__main__.py"
            return
        names: dict[str, str] = self.config["names"]
        for folder in self.config["folders"]:
            left_out = shutil.ignore_patterns(*self.config.get("leave-out", ()))
            shutil.copytree(
                Path(self.root, folder),
                self._made / folder,
                ignore=lambda where, found, ours=left_out: _LEFT_OUT(where, found) | ours(where, found),
                dirs_exist_ok=True,
            )
        for module in self._made.rglob("*.py"):
            module.write_text(renamed(module.read_text(), names))
        if entry := self.config.get("entry"):
            (self._made / "__init__.py").write_text('"""The command `projector`."""\n')
            made = self._entry(entry)
            made.write_text(renamed(made.read_text(), names))
        build_data["force_include"][str(self._made)] = package

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        shutil.rmtree(self._made)

    def _entry(self, module: str) -> Path:
        path = self._made / "__main__.py"
        path.write_text(f'from {module} import main\n\nif __name__ == "__main__":\n    main()\n')
        return path


def renamed(source: str, names: dict[str, str]) -> str:
    """Returns the module with its imports of these packages renamed."""
    old = "|".join(names)
    return re.sub(rf"(?m)^(\s*(?:from|import) )({old})(?=[. ])", lambda found: found[1] + names[found[2]], source)
