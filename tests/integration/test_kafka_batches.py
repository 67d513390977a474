"""Batches that any producer can send: each record has its fate, live and in a replay, and none stops the partition."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, cast

import lz4.frame
import pytest
import redis
import zstandard

from events.logs.kafka.url import kafka_settings
from events.logs.open import sqlite_url
from tests import readmodel
from tests.integration.raw_kafka import batch, produce, record
from tests.integration.test_parked_topic import read_all
from tests.poison import event
from tests.processes import Process, projector, wait_until_applied
from tests.servers.process import wait_until

NAME = "$: expected UTF-8 in the names of headers, got "
PACKED = "$: expected compressed records, got other bytes: "


class Odd(NamedTuple):
    """`sent`: a batch of `records` records. `reason`: the beginning of the expected reason; None for good records."""

    name: str
    sent: Callable[[bytes], bytes]
    reason: str | None = None
    records: int = 1


def _zstd(records: bytes) -> bytes:
    return batch(zstandard.compress(records), codec=4)


ODD = [
    Odd("a header's name", lambda v: batch(record(v, [(b"tr\xff", b"x")])), NAME + r"b'tr\xff'"),
    Odd("a header's name, compressed", lambda v: _zstd(record(v, [(b"\xc0\x80", b"")])), NAME + r"b'\xc0\x80'"),
    Odd("bytes behind gzip", lambda v: batch(gzip.compress(record(v)) + b"xx", codec=1), PACKED),
    Odd(
        "a wrong checksum of lz4",
        lambda v: batch(lz4.frame.compress(record(v), content_checksum=True)[:-4] + b"abcd", codec=3),
        PACKED,
    ),
    Odd("65 MiB of zeros", lambda v: _zstd(record(v + bytes(65 * 2**20))), "$: expected at most 67108864 bytes"),
    Odd("attributes", lambda v: batch(record(v, attributes=0x80))),
    Odd("attributes, compressed", lambda v: _zstd(record(v, attributes=0xFF))),
    Odd("an offset too high", lambda v: batch(record(v, offset=5))),
    Odd("an offset too low", lambda v: batch(record(v, offset=-5))),
    Odd("the same offset twice", lambda v: batch(record(v) + record(v), 2), records=2),
    Odd("a time beyond 64 bits", lambda v: batch(record(v, after_ms=-(2**63)), timestamp_ms=-(2**63) + 10**12)),
    Odd("a time long ago", lambda v: batch(record(v, after_ms=-(2**62)))),
    Odd("a header without a value", lambda v: batch(record(v, [(b"a", None)]))),
    Odd("many headers", lambda v: batch(record(v, [(b"a", b"")] * 50_000))),
]
RECORDS = sum(odd.records for odd in ODD)


def value(number: int) -> bytes:
    return json.dumps(event(number)).encode()


@pytest.fixture
def url(kafka: str, kafka_topic: Callable[[int], str]) -> str:
    """A topic with a good event after each odd batch."""
    url = kafka_topic(1)
    topic = kafka_settings(url, {}).topic
    for number, odd in enumerate(ODD):
        assert produce(kafka, topic, odd.sent(value(number))) == 0, odd.name
        assert produce(kafka, topic, batch(record(value(1000 + number)))) == 0
    return url


@pytest.fixture
def client(one_redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(one_redis_url) as client:
        yield client


def check(client: "redis.Redis", topic: str, number: int) -> list[str]:
    """Checks generation `number`. Returns the reasons of parked records, in the order of the log."""
    prefix, offset, wanted, listed = f"og:{{{number}.0}}:", 0, {}, set()
    for index, odd in enumerate(ODD):
        if odd.reason is None:
            listed.add(f"og_{index}")
        else:
            wanted[f"{topic}/0@{offset}"] = odd.reason
        listed.add(f"og_{1000 + index}")
        offset += odd.records + 1
    found = cast(dict[bytes, bytes], client.hgetall(prefix + "parked"))
    reasons = {position.decode(): json.loads(stored)["reason"] for position, stored in found.items()}
    assert reasons.keys() == wanted.keys()
    assert [(p, r) for p, r in reasons.items() if not r.startswith(wanted[p])] == []
    assert readmodel.listed(client, prefix) == listed
    return [reasons[position] for position in wanted]


def test_each_record_has_its_fate(
    url: str, kafka: str, client: "redis.Redis", one_redis_url: str, tmp_path: Path
) -> None:
    settings = {"EVENT_LOG_URL": url, "REDIS_URL": one_redis_url}
    topic = kafka_settings(url, {}).topic
    ends = {f"{topic}/0": RECORDS + len(ODD)}
    with Process("run", cwd=tmp_path, **settings) as run:
        wait_until_applied(client, ends)
        reasons = check(client, topic, 0)
        done = projector("verify", cwd=tmp_path, settings=settings)
        assert done.returncode == 0, done.stdout + done.stderr
        done = projector("parked", "redrive", "--all", "--json", cwd=tmp_path, settings=settings)
        assert len(json.loads(done.stdout)["parked"]) == len(reasons)
        shown = projector("parked", "show", f"{topic}/0@0", cwd=tmp_path, settings=settings)
        assert r"header b'tr\xff'" in shown.stdout
        done = projector("replay", "--yes", "--park", cwd=tmp_path, settings=settings)
        assert done.returncode == 0, done.stdout + done.stderr
        assert check(client, topic, 1) == reasons
        parked = f"kafka://{kafka}/{topic}.parked"
        wait_until(lambda: len(read_all(parked)) == len(reasons), 20, "the topic of parked events")
        assert [record.headers[0][0] for record in read_all(parked)][:2] == ["tr\U0010feff", "\U0010fec0\U0010fe80"]
        assert run.stop() == 0
    _into_sqlite(url, settings, tmp_path, client, reasons)


def _into_sqlite(url: str, settings: dict[str, str], folder: Path, client: "redis.Redis", reasons: list[str]) -> None:
    """Exports the topic, publishes it into an SQLite log, and checks that the same records are parked."""
    client.flushdb()
    done = projector("export", "all.jsonl", cwd=folder, settings=settings)
    assert done.returncode == 0, done.stderr
    settings = settings | {"EVENT_LOG_URL": sqlite_url(folder / "orders.db")}
    done = projector("publish", "all.jsonl", cwd=folder, settings=settings)
    assert done.returncode == 0, done.stderr
    with Process("run", cwd=folder, **settings) as run:
        wait_until_applied(client, {"orders/0": RECORDS + len(ODD)})
        found = cast(list[bytes], client.hvals("og:{0.0}:parked"))
        assert sorted(json.loads(stored)["reason"] for stored in found) == sorted(reasons)
        assert run.stop() == 0
