"""An exported log, published again, folds to the same read model. A partial export never looks complete."""

import json
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import IO, Any, NamedTuple

import pytest
import redis

from events.errors import LogGap, LogUnavailable
from events.logs.log import Entry, Partition, Record
from events.logs.open import open_log, sqlite_url
from events.logs.sqlite.log import SqliteLog
from projector import export
from projector.errors import BadSetting
from projector.export import atomic_file, export_log
from tests import readmodel
from tests.integration.test_way import marketplace
from tests.poison import FINE, POISON, event
from tests.processes import Process, environment, projector, wait_until_applied


def history(chance: random.Random) -> list[Entry]:
    """Returns events in both content modes, with all invalid events, edge cases, and events of another type."""
    entries = []
    for number, found in enumerate(marketplace(400)):
        key = found["data"]["order_group_id"].encode()
        if number % 3 == 0:
            headers = tuple((f"ce_{name}", str(found[name]).encode()) for name in found if name != "data")
            entries.append(Entry(key, json.dumps(found["data"]).encode(), headers))
        else:
            entries.append(Entry(key, json.dumps(found, indent=None if number % 3 == 1 else 2).encode(), ()))
    assert len(entries) > 1000
    for number, odd in enumerate([*POISON, *FINE]):
        keys = (None, b"\xff", b"og_%d" % number)
        entries.insert(chance.randrange(len(entries)), Entry(keys[number % 3], odd.value, odd.headers))
    for number in range(9):
        other = json.dumps({**event(number), "type": "invoice.created"}).encode()
        entries.insert(chance.randrange(len(entries)), Entry(b"invoice" if number % 2 else None, other))
    return entries


def append(url: str, entries: list[Entry]) -> None:
    with open_log(url, {}) as log:
        for start in range(0, len(entries), 500):
            log.append(entries[start : start + 500])


def all_of(url: str) -> list[Record]:
    with open_log(url, {}) as log:
        reader, end = log.read(log.first()), log.end()
        found: list[Record] = []
        while reader.positions != end:
            found += reader.poll(1.0, 1000, end)
        reader.close()
        return found


class Fold(NamedTuple):
    """Returns a read model without positions."""

    documents: dict[str, bytes]
    entries: dict[tuple[str, str], float]
    texts: dict[str, bytes]
    fates: dict[str, int]
    parked: list[list[Any]]


def folded(url: str, client: "redis.Redis", redis_url: str, directory: Path) -> Fold:
    """Runs the real projector on the log, with an empty Redis. Returns the read model."""
    client.flushdb()
    with open_log(url, {}) as log:
        ends = {str(partition): end for partition, end in log.end().items() if end}
    with Process("run", cwd=directory, EVENT_LOG_URL=url, REDIS_URL=redis_url) as run:
        wait_until_applied(client, ends)
        assert run.stop() == 0
    model = readmodel.read(client)
    readmodel.check_accounting(model, sum(ends.values()))
    fates = dict.fromkeys(("folded", "passed_over", "parked"), 0)
    for name, records in model.tally.items():
        # If versions of one order are in two partitions, the order of reading decides which is stale.
        fate = {"applied": "folded", "stale": "folded"}.get(found := name.rpartition(":")[2], found)
        if fate in fates:
            fates[fate] += records
    parked = (json.loads(found) for found in model.parked.values())
    reasons = sorted([[p["reason"], p["key"], p["value"], p["headers"]] for p in parked], key=json.dumps)
    return Fold(model.documents, model.entries, model.texts, fates, reasons)


def run(*arguments: str, cwd: Path, url: str) -> "subprocess.CompletedProcess[str]":
    done = projector(*arguments, cwd=cwd, settings={"EVENT_LOG_URL": url})
    assert done.returncode == 0, done.stderr
    return done


def export_to(stdout: IO[bytes], url: str, directory: Path) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "projector", "export", "-"]
    env = environment(EVENT_LOG_URL=url)
    return subprocess.run(
        command, cwd=directory, env=env, stdout=stdout, stderr=subprocess.PIPE, timeout=60, check=False
    )


def by_key(records: list[Record]) -> dict[bytes | None, list[bytes | None]]:
    found: dict[bytes | None, list[bytes | None]] = {}
    for record in records:
        found.setdefault(record.key, []).append(record.value)
    # Records without a key have no order.
    return {**found, None: sorted(found.get(None, []), key=lambda value: value or b"")}


def test_an_exported_and_published_log_folds_to_the_same(
    kafka_topic: Callable[[int], str], one_redis_url: str, tmp_path: Path
) -> None:
    """From Kafka to SQLite and back to Kafka: every fold is the same, including parked events."""
    entries = history(random.Random(3))
    one, two, three = kafka_topic(3), sqlite_url(tmp_path / "two.db"), kafka_topic(2)
    append(one, entries)
    records = all_of(one)
    assert len(records) == len(entries)
    said = run("export", "one.jsonl", cwd=tmp_path, url=one)
    kept = len(POISON) + 4
    assert f"exported {len(entries)} records, from " in said.stderr
    assert f"; {kept} of them unchanged, since they are not events of the contract\n" in said.stderr
    assert said.stdout == ""
    assert run("publish", "one.jsonl", cwd=tmp_path, url=two).stderr == f"published {len(entries)} events\n"
    with (tmp_path / "two.jsonl").open("wb") as file:
        assert export_to(file, two, tmp_path).returncode == 0
    lines = (tmp_path / "one.jsonl").read_bytes().splitlines()
    again = (tmp_path / "two.jsonl").read_bytes().splitlines()
    assert [without_place(line) for line in lines] == [without_place(line) for line in again]
    run("publish", "two.jsonl", cwd=tmp_path, url=three)
    assert by_key(all_of(three)) == by_key(all_of(two))
    with redis.Redis.from_url(one_redis_url) as client:
        expected = folded(one, client, one_redis_url, tmp_path)
        assert expected.fates["parked"] == len(POISON) == len(expected.parked)
        assert expected.fates["passed_over"] == 9
        assert len(expected.documents) >= 300
        for url in (two, three):
            found = folded(url, client, one_redis_url, tmp_path)
            differing = [field for field in Fold._fields if getattr(found, field) != getattr(expected, field)]
            assert not differing, url


def without_place(line: bytes) -> Any:
    found = json.loads(line)
    if "$record" in found:
        assert found["$record"].pop("position")
        assert found["$record"].pop("timestamp_ms")
    return found


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    log = SqliteLog(tmp_path / "orders.db")
    log.create()
    log.append([Entry(b"og_1", json.dumps(event(number)).encode()) for number in range(10)])
    return log


def test_it_ends_at_the_logs_end_at_its_start(log: SqliteLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "POLL_RECORDS", 3)
    told = []

    def tell(done: int, total: int) -> None:
        told.append((done, total))
        log.append([Entry(b"og_1", b"later")])

    with log, (tmp_path / "out").open("xb") as file:
        found = export_log(log, file, tell)
    orders = Partition("orders", 0)
    assert (found.records, found.whole, found.first, found.end) == (10, 0, {orders: 0}, {orders: 10})
    assert told == [(3, 10), (6, 10), (9, 10), (10, 10)]
    assert len((tmp_path / "out").read_bytes().splitlines()) == 10


def test_it_begins_at_the_oldest_record(log: SqliteLog, tmp_path: Path) -> None:
    with closing(sqlite3.connect(log.path)) as connection, connection:
        connection.execute('DELETE FROM log WHERE "offset" < 4')
    said = run("export", "out", cwd=tmp_path, url=sqlite_url(log.path)).stderr
    assert said == "exported 6 records, from orders/0@4 to orders/0@10\n"
    lines = (tmp_path / "out").read_bytes().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [f"evt_{number}" for number in range(4, 10)]


def test_an_empty_log_is_an_empty_file(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "empty.db")
    with open_log(url, {}) as log:
        log.create()
    assert run("export", "out", cwd=tmp_path, url=url).stderr == "exported 0 records, from empty/0@0 to empty/0@0\n"
    assert (tmp_path / "out").read_bytes() == b""


def test_a_file_is_complete_or_missing(tmp_path: Path) -> None:
    place = tmp_path / "out"

    def stopped_half_way(force: bool) -> None:
        with atomic_file(place, force) as file:
            file.write(b"half")
            file.flush()
            assert not place.exists() or place.read_bytes() == b"former"
            raise LogGap("retention was faster")

    with pytest.raises(LogGap):
        stopped_half_way(False)
    assert list(tmp_path.iterdir()) == []
    place.write_bytes(b"former")
    with pytest.raises(LogGap):
        stopped_half_way(True)
    with pytest.raises(BadSetting, match="exists already; --force replaces it"), atomic_file(place, False):
        raise AssertionError("it must be refused first")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"former"]
    link = tmp_path / "link"
    link.symlink_to(place)
    with atomic_file(link, True) as file:
        file.write(b"whole")
    assert link.is_symlink()
    assert place.read_bytes() == b"whole"


def test_a_file_created_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    place = tmp_path / "out"

    def overtaken() -> None:
        with atomic_file(place, False) as file:
            file.write(b"ours")
            place.write_bytes(b"theirs")

    with pytest.raises(BadSetting, match="exists already"):
        overtaken()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"theirs"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("out",), "projector: out: exists already; --force replaces it"),
        ((".", "--force"), "projector: .: expected a file, got a directory"),
        (("/dev/full", "--force"), "projector: /dev/full: exists already"),
        (("none/out",), "projector: none/out: No such file or directory"),
        (("new", "--data-dir", "none"), "projector: there is no log at "),
    ],
)
def test_errors_are_one_line(log: SqliteLog, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    (tmp_path / "out").write_bytes(b"former")
    settings = {} if "--data-dir" in arguments else {"EVENT_LOG_URL": sqlite_url(log.path)}
    done = projector("export", *arguments, cwd=tmp_path, settings=settings)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir() if "orders" not in path.name) == ["out"]
    assert (tmp_path / "out").read_bytes() == b"former"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has one, others do not")
def test_a_full_disk_is_reported(log: SqliteLog, tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = export_to(full, sqlite_url(log.path), tmp_path)
    assert done.returncode == 2
    assert done.stderr == b"projector: standard output: No space left on device\n"


def test_a_log_that_returns_nothing_times_out(log: SqliteLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Like a log with an open transaction that is never completed."""
    monkeypatch.setattr(export, "STUCK_S", 0.1)
    monkeypatch.setattr(export, "POLL_S", 0.05)
    monkeypatch.setattr(SqliteLog, "end", lambda self: {Partition("orders", 0): 12})
    with (
        log,
        (tmp_path / "out").open("xb") as file,
        pytest.raises(LogUnavailable, match="no record after orders/0@10"),
    ):
        export_log(log, file, lambda done, total: None)
