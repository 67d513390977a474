"""What `make chaos` came through, as a result for the README.

    CHAOS_SURVIVED=LINES pytest tests/chaos ...; python -m bench.chaos LINES

LINES: JSON lines, a fault each, as tests/chaos/survived.py writes them. A fault that is not among them, or not as
often as in a long run, is an error: nothing is saved then.
"""

import os
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from bench import runs
from tests.servers.kafka import kafka_home
from tests.servers.redis import redis_homes

# How often each has to happen in a long run.
TIMES = {
    "`kill -9` at random moments at full load": 300,
    "`kill -9` at each fail point of `run`": 300,
    "`kill -9` at each fail point of `replay`": 720,
    "`kill -9` of a build at random moments": 20,
    "Redis loses writes: FLUSHALL": 34,
    "Redis loses writes: an old RDB": 34,
    "Redis loses writes: a cut AOF": 34,
    "a process asleep beyond its session": 50,
    "a commit whose result is unknown": 1_000,
    "broker killed and started again": 30,
    "partition added": 30,
    "member joins or leaves, every 2 s": 120,
    "seeds of the simulation": 100_000,
    "broken records decoded": 5_000_000,
}


class Fault(Struct):
    """`records`: of the log, each accounted for when it was over."""

    name: str
    times: int
    records: int


class Report(runs.Run):
    faults: list[Fault]


_DECODER = msgspec.json.Decoder(Fault)


def main() -> None:
    try:
        faults = survived(Path(sys.argv[1]).read_bytes())
    except ValueError as error:
        raise SystemExit(f"bench: {error}") from None
    # Those servers that the tests take where there is a choice.
    machine = runs.machine(redis_homes(os.environ)[0], kafka_home(os.environ))
    found = Report(runs.now(), runs.commit(), machine, faults)
    print(runs.save("chaos", 1, 1, found))


def survived(lines: bytes) -> list[Fault]:
    """In the order of TIMES. Raises ValueError."""
    found = {fault.name: fault for fault in _DECODER.decode_lines(lines)}
    if lacking := [name for name, times in TIMES.items() if name not in found or found[name].times < times]:
        raise ValueError(f"expected a long run of all faults, found fewer of {', '.join(lacking)}")
    if unknown := found.keys() - TIMES.keys():
        raise ValueError(f"expected faults of {Path(__file__).name}, found {', '.join(sorted(unknown))}")
    return [found[name] for name in TIMES]


if __name__ == "__main__":
    main()
