"""Reads a generation from Redis by plain commands, after the key table of docs/architecture.md. No project code."""

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import redis

from tests import buckets, oracle

PREFIX = "og:{0.0}:"
FATES = ("applied", "stale", "passed_over", "parked", "discarded")


class ReadModel(NamedTuple):
    documents: dict[str, bytes]
    entries: dict[tuple[str, str], float]
    texts: dict[str, bytes]
    positions: dict[str, int]
    tally: dict[str, int]
    parked: dict[str, bytes]
    discarded: dict[str, bytes]


def prefixes(number: int, shards: int) -> list[str]:
    return [f"og:{{{number}.{shard}}}:" for shard in range(shards)]


def shard_of(group_id: str, shards: int) -> int:
    return int.from_bytes(hashlib.blake2b(group_id.encode(), digest_size=8).digest(), "big") % shards


def read(client: "redis.Redis", number: int = 0, shards: int = 1) -> ReadModel:
    """Reads all shards of a generation. Each group and its entries must be in the shard of its id."""
    whole = ReadModel({}, {}, {}, {}, {}, {}, {})
    for shard, prefix in enumerate(prefixes(number, shards)):
        part = _read_shard(client, prefix)
        ids = [*part.documents, *(group_id for _, group_id in part.entries), *part.texts]
        assert all(shard_of(group_id, shards) == shard for group_id in ids)
        whole.documents.update(part.documents)
        whole.entries.update(part.entries)
        whole.texts.update(part.texts)
        for name, offset in part.positions.items():
            whole.positions[name] = min(offset, whole.positions.get(name, offset))
        for name, records in part.tally.items():
            whole.tally[name] = whole.tally.get(name, 0) + records
        whole.parked.update(part.parked)
        whole.discarded.update(part.discarded)
    return whole


def _read_shard(client: "redis.Redis", prefix: str) -> ReadModel:
    """Reads a shard, and checks its bitmaps against its sorted sets."""
    found: Any = client
    entries = {
        (key.decode().removeprefix(prefix), member.decode()): score
        for key in found.scan_iter(match=prefix + "*", count=1000, _type="ZSET")
        for member, score in found.zrange(key, 0, -1, withscores=True)
        if key.decode() not in (prefix + "ordinal", prefix + "edited", prefix + "changed")
    }
    _check_bits(found, prefix, entries)

    def fields(name: str) -> dict[str, bytes]:
        return {field.decode(): value for field, value in found.hgetall(prefix + name).items()}

    return ReadModel(
        _documents(fields("row"), fields("rest")),
        entries,
        _texts(found, prefix),
        {name: int(offset) for name, offset in fields("position").items() if name != "redriven"},
        {name: int(records) for name, records in fields("tally").items()},
        fields("parked"),
        fields("discarded"),
    )


def _texts(client: Any, prefix: str) -> dict[str, bytes]:
    """Returns texts by group id. Chunks have 128 lines, one line per ordinal, and no more."""
    ids = [id.decode() for id in client.zrange(prefix + "ordinal", 0, -1)]
    chunks = {int(chunk): lines for chunk, lines in client.hgetall(prefix + "text").items()}
    assert sorted(chunks) == list(range(-(-len(ids) // 128)))
    lines: list[bytes] = []
    for _, chunk in sorted(chunks.items()):
        assert len(lines) % 128 == 0
        assert chunk.endswith(b"\xff")
        lines += chunk[:-1].split(b"\xff")
    return {id: line for id, line in zip(ids, lines, strict=True) if line}


def _check_bits(client: Any, prefix: str, entries: dict[tuple[str, str], float]) -> None:
    ordinals = {id.decode(): int(ordinal) for id, ordinal in client.zrange(prefix + "ordinal", 0, -1, withscores=True)}
    assert sorted(ordinals.values()) == list(range(len(ordinals)))
    expected = buckets.bitmaps(entries, ordinals)
    start = prefix + "bits:"
    keys = [key.decode() for key in client.scan_iter(match=start + "*", count=1000)]
    found = {
        key.removeprefix(start): buckets.bits(value)
        for key, value in zip(keys, client.mget(keys) if keys else [], strict=True)
    }
    for name, ordinals_found in found.items():
        assert ordinals_found == expected.get(name, set()), name
    # A value has a bitmap only after it has had many groups.
    assert {name for name in expected if not name.startswith("of:")} <= found.keys()


def _documents(rows: dict[str, bytes], rests: dict[str, bytes]) -> dict[str, bytes]:
    """Joins the two stored parts of each document; a row alone is a JSON object too."""
    assert rows.keys() == rests.keys()
    assert all(isinstance(json.loads(row), dict) for row in rows.values())
    return {group_id: row[:-1] + rests[group_id] for group_id, row in rows.items()}


def check(model: ReadModel, events: Iterable[oracle.Event]) -> None:
    """Checks that documents, index entries, scores and texts are exactly those of the events."""
    expected = oracle.groups(events)
    assert {group_id: oracle.parse(document) for group_id, document in model.documents.items()} == expected
    entries: dict[tuple[str, str], float] = {}
    for document in expected.values():
        entries |= oracle.entries(document)
    assert model.entries == entries
    assert model.texts == {
        group_id: group_id.casefold().encode() + b"\xfe" + (document["customer_id"] or "").casefold().encode()
        for group_id, document in expected.items()
    }


def check_accounting(model: ReadModel, received: int) -> None:
    """Checks that every received record has exactly one fate, and every parked byte is counted."""
    for partition in model.positions:
        fates = sum(model.tally.get(f"{partition}:{fate}", 0) for fate in FATES)
        assert fates == model.tally[f"{partition}:received"], partition
        assert model.tally.get(f"{partition}:parked_bytes", 0) == parked_bytes(model, partition), partition
    assert sum(model.tally[f"{partition}:received"] for partition in model.positions) == received
    for fate, records in (("parked", model.parked), ("discarded", model.discarded)):
        assert len(records) == sum(model.tally.get(f"{partition}:{fate}", 0) for partition in model.positions), fate


def parked_value(parked: dict[str, Any]) -> bytes | None:
    """Returns the value as it was sent: it is stored in base64, or compressed if that is smaller."""
    value = parked["value"]
    if isinstance(value, dict):
        return zlib.decompress(base64.b64decode(value["zlib"]))
    return None if value is None else base64.b64decode(value)


def parked_bytes(model: ReadModel, partition: str) -> int:
    """Those of each with its position, as if the number itself were 0. An earlier release wrote no number."""
    found = 0
    for position, stored in model.parked.items():
        counted = json.loads(stored).get("counted")
        if counted is not None and position.rpartition("@")[0] == partition:
            assert counted == len(position) + len(stored) - len(str(counted)) + len("0")
            found += counted
    return found
