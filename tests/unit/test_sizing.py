"""What a marketplace of a given size needs, in figures computed by hand."""

import re
from math import isclose
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from projector import sizing
from projector.cli.commands import app
from projector.sizing import Load, size

GIB = 1024**3
PAGE = (Path(__file__).parents[2] / "docs" / "sizing.md").read_text()


def test_five_million_groups_of_two_orders() -> None:
    found = size(Load(groups=5_000_000, events_per_s=300))
    # 5 000 000 groups of 1 700 bytes; twice; 15 % free; half as much for a rewrite.
    assert found.generation_bytes == 8_500_000_000
    assert found.redis_bytes == pytest.approx(20_000_000_000)
    assert found.machine_bytes == pytest.approx(30_000_000_000)
    # Three files of 0.45 bytes for each of 17 GB.
    assert found.disk_bytes == 22_950_000_000
    assert (found.masters, found.shards) == (1, 1)
    assert (found.events, found.log_bytes) == (15_000_000, 8_250_000_000)
    assert found.rebuild_s == 1000
    assert (found.partitions, found.projectors, found.apis) == (8, 2, 2)
    # 100 MiB, and 90 bytes of each group of two generations.
    assert found.api_bytes == 104_857_600 + 900_000_000


def test_larger_groups_take_more_memory_and_another_server_less() -> None:
    assert size(Load(1_000, 1, orders_per_group=5)).generation_bytes == 1_000 * (1_700 + 3 * 200)
    assert size(Load(1_000, 1, orders_per_group=1)).generation_bytes == 1_000 * (1_700 - 200)
    assert size(Load(1_000, 1, server="valkey")).generation_bytes == 1_000 * 1_400


def test_what_one_redis_cannot_hold_is_spread() -> None:
    """20 000 000 groups need 80 GB of maxmemory, and a master has at most 24 GiB."""
    found = size(Load(groups=20_000_000, events_per_s=300))
    assert (found.masters, found.shards) == (4, 16)


def test_what_one_process_cannot_do_is_spread() -> None:
    found = size(Load(groups=1_000, events_per_s=25_000, requests_per_s=9_000, workers=4))
    assert (found.masters, found.shards) == (3, 16)
    assert (found.projectors, found.partitions) == (4, 16)
    assert found.apis == 5
    assert isclose(found.rebuild_s, 3_000 / 60_000)


def test_a_worker_has_a_partition() -> None:
    assert size(Load(groups=1_000, events_per_s=1, workers=20)).partitions == 32


def test_the_command_prints_them() -> None:
    asked = ["plan", "--groups", "5e6", "--events-per-second", "300"]
    shown = CliRunner().invoke(app, asked)
    assert shown.exit_code == 0, shown.output
    for words in (r"a generation +7\.9 GiB", r"maxmemory +18\.6 GiB", r"shards +1\b", r"projectors +2\b", r"17 min"):
        assert re.search(words, shown.output), shown.output
    machine = CliRunner().invoke(app, [*asked, "--server", "valkey", "--json"])
    assert msgspec.json.decode(machine.output)["generation_bytes"] == 7_000_000_000


def test_the_page_has_the_figures_of_the_code() -> None:
    """A row of its table for each constant: | `NAME` | value |."""
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| ([^|]+) \|", PAGE, re.M))
    known = {name: value for name, value in vars(sizing).items() if name.isupper() and name != "MIB"}
    assert rows.keys() == known.keys()
    for name, value in known.items():
        wanted = value.values() if isinstance(value, dict) else [value]
        shown = [float(number) for number in re.findall(r"[\d.]+", rows[name].replace(" ", "").replace("/", " "))]
        factor = 1024**2 if "MiB" in rows[name] else GIB if "GiB" in rows[name] else 1
        assert [number * factor for number in shown] == [float(one) for one in wanted], name
