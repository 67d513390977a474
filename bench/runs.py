"""What every benchmark records beside its figures: date, commit and machine, and the file that stores them."""

import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from tests.servers.redis import RedisHome, startable_homes

REDIS = os.environ.get("BENCH_REDIS", "")
RESULTS = Path(os.environ.get("BENCH_RESULTS", Path(__file__).parent / "results"))
# Generated from results, so changes to them do not affect a measurement.
_MADE = (
    ":(top)",
    *(f":(top,exclude){path}" for path in ("bench/results", "README.md", "docs/measured.md", "docs/images")),
)


class Machine(Struct):
    """`load_average`: of the minute before the run, in processes: near 0 if nothing else ran."""

    processors: int
    memory_bytes: int
    system: str
    load_average: float
    python: str
    redis: str
    kafka: str | None = None
    postgresql: str | None = None


class Run(Struct):
    """The first fields of each report."""

    date: str
    commit: str
    machine: Machine


class Rounds(Struct):
    """One value for each round, and their median."""

    median: float
    each: list[float]


R = TypeVar("R", bound=Run)


# In place of a Redis, for what runs without one.
NO_REDIS = "none"


def redis_home() -> RedisHome:
    """Returns the Redis to start: the first one of this machine, or the one whose name begins with BENCH_REDIS, such as
    `valkey`.
    """
    homes = startable_homes()
    for home in homes:
        if str(home).startswith(REDIS):
            return home
    raise SystemExit(
        f"bench: expected in BENCH_REDIS the beginning of one of {', '.join(map(str, homes))}; found {REDIS}"
    )


def machine(redis: object, kafka: object = None) -> Machine:
    """Call it first, before the benchmark itself makes load."""
    return Machine(
        processors=os.cpu_count() or 1,
        memory_bytes=memory_bytes(),
        load_average=round(os.getloadavg()[0], 2),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        redis=str(redis),
        kafka=str(kafka) if kafka else None,
    )


def memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def commit() -> str:
    """The commit of the working copy, with `+` if files have uncommitted changes."""
    try:
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", *_MADE)
        return _git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def rounds(values: Sequence[float], digits: int = 1) -> Rounds:
    return Rounds(round(statistics.median(values), digits), [round(value, digits) for value in values])


def save(name: str, size: int, full: int, found: Run) -> Path:
    """Writes the results; only those of full size on the first Redis get the plain name, which the docs use."""
    parts = [name, *([str(size)] if size != full else []), *([REDIS] if REDIS else [])]
    path = RESULTS / f"{'-'.join(parts)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{msgspec.json.format(msgspec.json.encode(found), indent=2).decode()}\n")
    return path


def read(results: Path, name: str, kind: type[R]) -> R | None:
    """None without results of full size."""
    path = results / f"{name}.json"
    return msgspec.json.decode(path.read_bytes(), type=kind) if path.exists() else None


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    return done.stdout.strip()
