"""Node programs with the packages of package.json, installed once per version into the user's cache."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
INSTALL_S = 120
RUN_S = 60
# No lock file: it would record where the packages were downloaded. No scripts: nothing foreign runs at installation.
_INSTALL = ("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--loglevel=error")


class NoPackages(Exception):
    """npm could not install the packages; the text is its output."""


def missing() -> list[str]:
    return [name for name in ("node", "npm") if shutil.which(name) is None]


def installed() -> Path:
    """The folder `node_modules`, complete. Raises NoPackages."""
    wanted = (HERE / "package.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "order-group-projector"
    home = cache / f"client-{hashlib.sha256(wanted).hexdigest()[:16]}"
    if home.is_dir():
        return home / "node_modules"
    # Another run may do the same at this moment: the folder gets its name when it is complete.
    unfinished = cache / f"{home.name}.{os.getpid()}"
    unfinished.mkdir(parents=True)
    try:
        (unfinished / "package.json").write_bytes(wanted)
        done = subprocess.run(_INSTALL, cwd=unfinished, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        if done.returncode:
            raise NoPackages(f"npm install: {done.stderr.strip()[-500:]}")
        try:
            unfinished.rename(home)
        except OSError:
            if not home.is_dir():
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return home / "node_modules"


def run(program: str, modules: Path, value: object) -> Any:
    """Runs a program with `value` as JSON on standard input; returns its standard output, parsed as JSON."""
    done = subprocess.run(
        ["node", str(HERE / program)],
        input=json.dumps(value),
        env={**os.environ, "NODE_PATH": str(modules)},
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def parse(modules: Path, queries: Sequence[str]) -> list[Any]:
    found: list[Any] = run("parse.cjs", modules, list(queries))
    return found
