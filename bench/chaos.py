"""Long runs of the chaos tests, family by family, and the faults that they survived, as a result for docs/measured.md.

    python -m bench.chaos [--short] [FAMILY ...]     all of them, if none is named; see FAMILIES

Each run replaces the rows of its family in BENCH_RESULTS (bench/results), so a full table can be made in several runs;
each row names the commit with which its run began. A fault that a run had less often than required, or whose test
failed, keeps its row, and the run fails.

`CHAOS_KILLS=100 python -m bench.chaos --short kills` takes the settings of the environment first, and requires each
fault once: for a row of the present commit where there is no time for a long run. The row has the true number.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from bench import runs
from tests.servers.kafka import kafka_home
from tests.servers.redis import redis_homes


class Family(NamedTuple):
    """`tests`: arguments of pytest. `settings`: the environment of a long run. `faults`: name -> minimum of times."""

    tests: Sequence[str]
    settings: Mapping[str, str]
    faults: Mapping[str, int]


FAMILIES = {
    "kills": Family(
        ["tests/chaos/test_killed.py"],
        {"CHAOS_KILLS": "300", "CHAOS_POINT_ROUNDS": "30"},
        {"`kill -9` at random moments at full load": 300, "`kill -9` at each fail point of `run`": 300},
    ),
    "replay": Family(
        [
            "tests/chaos/test_replay_killed.py",
            "tests/integration/test_replay_killed.py",
            "tests/integration/test_replay_live.py",
        ],
        {"CHAOS_POINT_ROUNDS": "30", "REPLAY_EVENTS": "200000", "REPLAY_KILLS": "20"},
        {"`kill -9` at each fail point of `replay`": 720, "`kill -9` of a build at random moments": 20},
    ),
    "lost-writes": Family(
        ["tests/chaos/test_lost_writes.py"],
        {"CHAOS_LOSSES": "100"},
        {f"Redis loses writes: {kind}": 34 for kind in ("FLUSHALL", "an old RDB", "a cut AOF")},
    ),
    "zombies": Family(
        ["tests/chaos/test_zombies.py"], {"CHAOS_ZOMBIES": "50"}, {"a process asleep beyond its session": 50}
    ),
    "unknown": Family(
        ["tests/chaos/test_unknown_results.py"], {"CHAOS_UNKNOWN": "1000"}, {"a commit whose result is unknown": 1_000}
    ),
    "brokers": Family(
        ["tests/chaos/test_brokers.py"],
        {"CHAOS_BROKER_ROUNDS": "30"},
        {"broker killed and started again": 30, "partition added": 30, "member joins or leaves, every 2 s": 120},
    ),
    "simulation": Family(
        ["tests/chaos/test_simulation.py", "tests/chaos/test_store.py"],
        {"SIMULATION_SEEDS": "100000"},
        {"seeds of the simulation": 100_000},
    ),
    "fuzz": Family(
        ["tests/chaos/test_decode_fuzz.py"], {"FUZZ_RECORDS": "5000000"}, {"broken records decoded": 5_000_000}
    ),
    "commands": Family(
        ["tests/integration/test_torn_commit.py", "tests/integration/test_refused_commit.py"],
        {"CHAOS_TORN_BATCHES": "1000"},
        {"a commit that fails at any command": 1_000},
    ),
    "logs": Family(
        ["tests/chaos/test_log_put_back.py", "tests/chaos/test_log_compared.py"],
        {},
        {
            f"log put back while the projector {how}: {kind}": 1
            for how in ("is stopped", "runs")
            for kind in ("restore", "copy", "kafka")
        },
    ),
    "append-only": Family(["tests/chaos/test_torn_file.py"], {}, {"an append-only file ends within a transaction": 4}),
    "large": Family(
        ["tests/integration/test_large_load.py"], {}, {"200 updates/s of groups of 1000 orders, beside others": 2}
    ),
    "cluster": Family(
        ["tests/chaos/test_reshard.py", "tests/chaos/test_failover.py"],
        {"CHAOS_RESHARD_EVENTS_S": "1000", "CHAOS_FAILOVER_ROUNDS": "30"},
        {
            "a reshard of all slots of one master": 1,
            "a scale-out by two masters": 1,
            "a replica of the cluster takes over": 30,
        },
    ),
    "refusing": Family(
        ["tests/chaos/test_refusing.py"],
        {"CHAOS_REFUSING_ROUNDS": "100"},
        {
            "a right is taken away and given back": 100,
            "the memory limit is reached and raised": 100,
            "the disk of Redis' append-only file is full": 100,
            "the disk of the SQLite log is full": 100,
        },
    ),
    "clock": Family(["tests/chaos/test_clock.py"], {"CHAOS_CLOCK_STEPS": "50"}, {"the clock is set, up to a day": 50}),
    "hosts": Family(
        ["tests/chaos/test_two_hosts.py"], {"CHAOS_HOSTS_ROUNDS": "20"}, {"two replays from two hosts": 20}
    ),
    "source": Family(
        ["tests/chaos/test_source_killed.py"],
        {"CHAOS_SOURCE_KILLS": "300", "CHAOS_SOURCE_CHANGES": "20000"},
        {"`kill -9` of relay, projector or a backend of PostgreSQL": 300},
    ),
    "steady": Family(["tests/chaos/test_steady.py"], {"CHAOS_STEADY_MINUTES": "25"}, {"minutes of steady load": 25}),
}


class Fault(Struct):
    """`records`: of the log, all accounted for at the end. `commit`, `date`: of the run."""

    name: str
    times: int
    records: int
    commit: str = ""
    date: str = ""


class Report(runs.Run):
    faults: list[Fault]


_DECODER = msgspec.json.Decoder(Fault)


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code of the first family that failed."""
    parser = argparse.ArgumentParser("python -m bench.chaos")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("families", nargs="*", metavar="FAMILY")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.families if name not in FAMILIES]:
        parser.error(f"expected families of {', '.join(FAMILIES)}, got {', '.join(unknown)}")
    for name in asked.families or FAMILIES:
        family = shortened(FAMILIES[name], os.environ) if asked.short else FAMILIES[name]
        # Both before the run: commits and load that come meanwhile are not those of its beginning.
        # The servers that the tests choose by default.
        machine, commit = runs.machine(redis_homes(os.environ)[0], kafka_home(os.environ)), runs.commit()
        with tempfile.TemporaryDirectory() as folder:
            lines = Path(folder) / "survived"
            code = _run(family, lines)
            found = survived(family, lines.read_bytes() if lines.exists() else b"")
        if found:
            before = runs.read(runs.RESULTS, "chaos", Report)
            report = Report(runs.now(), commit, machine, before.faults if before else [])
            print(runs.save("chaos", 1, 1, merged(report, found)))
        if code:
            print(f"bench: the family {name} failed", file=sys.stderr)
            return code
        if lacking := family.faults.keys() - {fault.name for fault in found}:
            print(f"bench: {name}: expected more of {', '.join(sorted(lacking))}", file=sys.stderr)
            return 1
    return 0


def shortened(family: Family, environment: Mapping[str, str]) -> Family:
    """Returns the family with settings of the environment where it has them, and each fault required once."""
    settings = {name: environment.get(name, value) for name, value in family.settings.items()}
    return Family(family.tests, settings, dict.fromkeys(family.faults, 1))


def survived(family: Family, lines: bytes) -> list[Fault]:
    """Returns the faults that happened often enough, in the order of the family. A test writes its line once all its
    checks have passed. `lines`: JSON, a fault per line, as tests/chaos/survived.py writes them; lines of one fault are
    summed. Raises ValueError for a fault that is not of the family.
    """
    found: dict[str, Fault] = {}
    for fault in _DECODER.decode_lines(lines):
        before = found.setdefault(fault.name, Fault(fault.name, 0, 0))
        before.times += fault.times
        before.records += fault.records
    if unknown := found.keys() - family.faults.keys():
        raise ValueError(f"expected faults of the family, found {', '.join(sorted(unknown))}")
    return [found[name] for name, times in family.faults.items() if name in found and found[name].times >= times]


def merged(report: Report, found: Sequence[Fault]) -> Report:
    """Returns the report with the rows of `found`, with its commit and date, in the order of FAMILIES."""
    rows = {fault.name: fault for fault in report.faults}
    for fault in found:
        rows[fault.name] = Fault(fault.name, fault.times, fault.records, report.commit, report.date)
    report.faults = [rows[name] for family in FAMILIES.values() for name in family.faults if name in rows]
    return report


def _run(family: Family, lines: Path) -> int:
    settings = {"PYTHONDONTWRITEBYTECODE": "1", "CHAOS_SURVIVED": str(lines)}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *family.tests]
    return subprocess.run(command, env={**os.environ, **family.settings, **settings}, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
