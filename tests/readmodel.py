"""What Redis holds, read with plain commands by the key table of docs/architecture.md. Imports no project code."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import redis

from tests import oracle

PREFIX = "og:{0.0}:"
FATES = ("applied", "stale", "passed_over", "parked")


class ReadModel(NamedTuple):
    documents: dict[str, bytes]
    entries: dict[tuple[str, str], float]
    texts: dict[str, bytes]
    positions: dict[str, int]
    tally: dict[str, int]
    parked: dict[str, bytes]


def read(client: "redis.Redis") -> ReadModel:
    found: Any = client
    entries = {
        (key.decode().removeprefix(PREFIX), member.decode()): score
        for key in found.scan_iter(match=PREFIX + "*", count=1000, _type="ZSET")
        for member, score in found.zrange(key, 0, -1, withscores=True)
    }
    return ReadModel(
        _documents(_hash(found, "row"), _hash(found, "rest")),
        entries,
        _hash(found, "text"),
        {name: int(offset) for name, offset in _hash(found, "position").items()},
        {name: int(records) for name, records in _hash(found, "tally").items()},
        _hash(found, "parked"),
    )


def _documents(rows: dict[str, bytes], rests: dict[str, bytes]) -> dict[str, bytes]:
    """Each is stored in two parts; a row is a JSON object of its own."""
    assert rows.keys() == rests.keys()
    assert all(isinstance(json.loads(row), dict) for row in rows.values())
    return {group_id: row[:-1] + rests[group_id] for group_id, row in rows.items()}


def _hash(client: Any, name: str) -> dict[str, bytes]:
    return {field.decode(): value for field, value in client.hgetall(PREFIX + name).items()}


def check(model: ReadModel, events: Iterable[oracle.Event]) -> None:
    """Documents, index entries and texts are those of the events: none missing, none too many, scores included."""
    expected = oracle.groups(events)
    assert {group_id: oracle.parse(document) for group_id, document in model.documents.items()} == expected
    entries: dict[tuple[str, str], float] = {}
    for document in expected.values():
        entries |= oracle.entries(document)
    assert model.entries == entries
    assert model.texts == {
        group_id: group_id.casefold().encode() + b"\xff" + (document["customer_id"] or "").casefold().encode()
        for group_id, document in expected.items()
    }


def check_accounting(model: ReadModel, received: int) -> None:
    """Every record received has exactly one fate, for each partition and in all."""
    for partition in model.positions:
        fates = sum(model.tally.get(f"{partition}:{fate}", 0) for fate in FATES)
        assert fates == model.tally[f"{partition}:received"], partition
    assert sum(model.tally[f"{partition}:received"] for partition in model.positions) == received
    assert len(model.parked) == sum(model.tally.get(f"{partition}:parked", 0) for partition in model.positions)
