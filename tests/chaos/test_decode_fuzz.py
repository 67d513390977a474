"""Mutated records: each decodes, fast, to an event, a problem, or neither."""

import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice

import pytest

from events.logs.log import Headers, Partition, Record
from projector.project import Change, Decoded, decode_record, group_ids, new, project
from tests.chaos.survived import survived
from tests.poison import FINE, POISON, event

# `make chaos` runs 5 000 000.
INPUTS = int(os.environ.get("FUZZ_RECORDS", 50_000))
# The CPU time that one record may take, in milliseconds.
RECORD_MS_MAX = 50.0
# One in so many is as large as an event may be, or larger.
LARGE = 1000

GOOD, BAD = (
    [(one.value or b"", one.headers) for one in kind if len(one.value or b"") < 6_000] for kind in (FINE, POISON)
)
TOKENS = (
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"null", b"true", b"-", b"0", b"1e999", b"-1e-999", b"NaN"),
    *(b"9" * 400, b"0." + b"0" * 400 + b"1", b"1" + b"0" * 5000, b'"' + b"x" * 300 + b'"', b"\\u0000", b"\\ud800"),
    *(b"\xff", b"\xc3", b"\xed\xa0\x80", "\U0001f600".encode(), b"\0", b"\xef\xbb\xbf", b" ", b"\n"),
    *(b'"2026-13-01T10:00:00Z"', b'"9999-12-31T23:59:59.999999-23:59"', b'"0000-01-01T00:00:00Z"'),
    *(b'"2026-06-01T10:00:00.' + b"1" * 50 + b'Z"', b'"data":{},', b'"id":"","id":"x",', b"[" * 40, b'{"a":' * 40),
)
NAMES = ("ce_id", "ce_type", "ce_source", "ce_specversion", "ce_time", "ce_data", "ce_", "content-type", "", "ce_ü")
UNITS = (
    b"[",
    b'{"a":',
    b'"',
    b"\\",
    b"9",
    b"[]",
    b"{},",
    b'"a":1,',
    b"\xc3\xa4",
    b"-",
    b"0",
    b" ",
    b'"\\ud83d"',
    b"1e",
)

Mutation = Callable[[random.Random, bytes], bytes]


def at(chance: random.Random, value: bytes) -> tuple[int, int]:
    start = chance.randrange(len(value) + 1)
    return start, min(len(value), start + chance.choice((1, 2, 5, 30)))


def cut(chance: random.Random, value: bytes) -> bytes:
    start, stop = at(chance, value)
    return value[:start] + value[stop:]


def insert(chance: random.Random, value: bytes) -> bytes:
    start, _ = at(chance, value)
    return value[:start] + chance.choice(TOKENS) + value[start:]


def replace(chance: random.Random, value: bytes) -> bytes:
    """Replaces a JSON value."""
    start = value.find(b":", at(chance, value)[0]) + 1
    stop = min((found for mark in b",}]" if (found := value.find(mark, start)) >= 0), default=len(value))
    return value[:start] + chance.choice(TOKENS) + value[stop:]


def flip(chance: random.Random, value: bytes) -> bytes:
    start, _ = at(chance, value)
    return value[:start] + bytes([chance.randrange(256)]) + value[start + 1 :]


def repeat(chance: random.Random, value: bytes) -> bytes:
    start, stop = at(chance, value)
    return value[:stop] + value[start:stop] * chance.choice((1, 2, 50)) + value[stop:]


MUTATIONS: Sequence[Mutation] = (cut, insert, replace, flip, repeat)


def large(chance: random.Random) -> bytes:
    """Returns about 1 MiB of repeated tokens, half of the time inside an event."""
    stuff = chance.choice(UNITS) * (chance.choice((1024 * 1024, 1024 * 1024 - 500, 300_000)) // 6)
    stuff = stuff[: 1024 * 1024 - 400]
    whole = json.dumps(event()).encode()
    field = chance.choice((b'"total": 3700', b'"version": 1', b'"id": "order_1"', b'"pending"'))
    return whole.replace(field, field + b', "x": ' + stuff) if chance.random() < 0.5 else stuff


def headers(chance: random.Random, found: Headers) -> Headers:
    if chance.random() < 0.8:
        return found
    more = [(chance.choice(NAMES), chance.choice((b"1.0", b"order.created", b"\xff", b"", b"x" * 300)))]
    mixed = [*found, *more * chance.choice((1, 2))]
    chance.shuffle(mixed)
    return tuple(mixed)


def record(chance: random.Random, number: int) -> Record:
    value, found = chance.choice(GOOD if chance.random() < 0.7 else BAD)
    if number % LARGE == 0:
        value = large(chance)
    for _ in range(chance.choice((0, 1, 1, 2, 3, 8))):
        mutate: Mutation = chance.choice(MUTATIONS)
        value = mutate(chance, value)
    return Record(Partition("orders", 0), number, chance.choice((0, -1, 2**62)), b"k", value, headers(chance, found))


def processed(one: Record) -> tuple[Decoded, Change, float]:
    """Decodes and projects a record. Also returns the CPU time in milliseconds."""
    started_s = time.thread_time()
    item = decode_record(one)
    change = project({group_id: new(n) for n, group_id in enumerate(group_ids([item]))}, [item])
    return item, change, (time.thread_time() - started_s) * 1000


@pytest.mark.timeout(120 + INPUTS // 2000)
def test_every_record_is_decoded_fast() -> None:
    chance = random.Random(6)
    results: Counter[str] = Counter()
    slowest_ms, slowest = 0.0, b""
    for number in range(INPUTS):
        one = record(chance, number)
        item, change, took_ms = processed(one)
        if took_ms > RECORD_MS_MAX:
            # A single measurement may include a garbage collection.
            took_ms = min(processed(one)[2] for _ in range(3))
        if took_ms > slowest_ms:
            slowest_ms, slowest = took_ms, one.value or b""
        assert len(change.parked) == (item.problem is not None)
        assert item.problem is None or str(item.problem).startswith("$")
        results["event" if item.event else "problem" if item.problem else "nothing"] += 1
    assert slowest_ms < RECORD_MS_MAX, (slowest_ms, len(slowest), slowest[:300])
    assert sum(results.values()) == INPUTS
    assert min(results[kind] for kind in ("event", "problem")) > INPUTS / 20, results
    survived("broken records decoded", INPUTS, INPUTS)


def test_the_corpus_is_diverse() -> None:
    """Mutations start from good and from bad records of every kind."""
    assert all(decode_record(Record(Partition("orders", 0), 0, 0, None, *one)).event for one in GOOD)
    assert all(decode_record(Record(Partition("orders", 0), 0, 0, None, *one)).problem for one in BAD)
    assert min(len(GOOD), len(BAD)) >= 10
    assert len(set(islice((record(random.Random(n), n).value for n in range(1, 200)), 199))) > 150
