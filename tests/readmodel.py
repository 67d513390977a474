"""Reads a generation from Redis by plain commands, after the key table of docs/architecture.md. No project code."""

import base64
import hashlib
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import redis

from tests import oracle, stored
from tests.fields import DEFAULT_FIELDS, FACET_FIELDS, VALUE_FIELDS

PREFIX = "og:{0.0}:"
FATES = ("applied", "stale", "passed_over", "parked", "discarded")
# Sorted sets that are no index.
OTHER_SETS = ("changed", *(f"values:{field}" for field in VALUE_FIELDS))
BLOCK, CHANGED_MAX = 256, 4096


class ReadModel(NamedTuple):
    """`documents`: JSON of each listed group, as its record has it. `entries`: (sorted set, group id) -> score.

    Groups are named by their ids: two models of equal content are equal, whatever ordinals the groups have.
    """

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
    """Reads all shards of a generation. Each group must be in the shard of its id."""
    whole = ReadModel({}, {}, {}, {}, {}, {}, {})
    for shard, prefix in enumerate(prefixes(number, shards)):
        assert all(shard_of(group_id, shards) == shard for group_id in ordinals(client, prefix))
        part = _read_shard(client, prefix)
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


def ordinals(client: Any, prefix: str = PREFIX) -> dict[str, int]:
    """Returns group id -> ordinal of all groups of a shard, listed or not."""
    members = client.hgetall(prefix + "ordinal")
    return {group_id.decode(): stored.ordinal(member) for group_id, member in members.items()}


def listed(client: Any, prefix: str = PREFIX) -> set[str]:
    """Returns the ids of the groups of a shard that have a row."""
    rows = set(client.hkeys(prefix + "row"))
    return {group_id.decode() for group_id, member in client.hgetall(prefix + "ordinal").items() if member in rows}


def member_of(client: Any, group_id: str, prefix: str = PREFIX) -> bytes:
    """Returns the member of sorted sets, and field of `row` and `record`, that is the group's."""
    member: bytes = client.hget(prefix + "ordinal", group_id)
    return member


def _read_shard(client: Any, prefix: str) -> ReadModel:
    """Reads a shard. Everything in it must fit the records: rows, sorted sets, bitmaps, texts and ordinals."""
    ids = {ordinal: group_id for group_id, ordinal in ordinals(client, prefix).items()}
    documents = _documents(client, prefix, ids)
    entries = {
        (index, ids[stored.ordinal(member)]): score
        for index in _names(client, prefix, "ZSET")
        if index not in OTHER_SETS
        for member, score in client.zrange(prefix + index, 0, -1, withscores=True)
    }
    expected: dict[tuple[str, str], float] = {}
    for document in documents.values():
        expected |= oracle.entries(document)
    assert entries == expected
    _check_values(client, prefix, documents.values())
    _check_bits(client, prefix, {ordinal: documents[ids[ordinal]] for ordinal in ids if ids[ordinal] in documents})
    _check_changed(client, prefix, ids)

    def fields(name: str) -> dict[str, bytes]:
        return {field.decode(): value for field, value in client.hgetall(prefix + name).items()}

    return ReadModel(
        {group_id: json.dumps(document, default=str).encode() for group_id, document in documents.items()},
        entries,
        _texts(client, prefix, ids),
        {name: int(offset) for name, offset in fields("position").items() if name != "redriven"},
        {name: int(records) for name, records in fields("tally").items()},
        fields("parked"),
        fields("discarded"),
    )


def _names(client: Any, prefix: str, kind: str) -> list[str]:
    keys = {key.decode() for key in client.scan_iter(match=prefix + "*", count=1000, _type=kind)}
    return sorted(key.removeprefix(prefix) for key in keys)


def _documents(client: Any, prefix: str, ids: Mapping[int, str]) -> dict[str, dict[str, Any]]:
    """Returns the documents of the records. Each listed group has a row, with its head and default fields."""
    reserved = int(client.get(prefix + "ordinals") or 0)
    assert reserved % BLOCK == 0
    assert all(ordinal < reserved for ordinal in ids)
    assert len(ids) == client.hlen(prefix + "ordinal")
    records = {stored.ordinal(member): record for member, record in client.hgetall(prefix + "record").items()}
    assert records.keys() == ids.keys()
    documents = {}
    for ordinal, record in records.items():
        document = stored.document_of(ids[ordinal], record)
        if document:
            documents[ids[ordinal]] = document
    rows = {stored.ordinal(member): row for member, row in client.hgetall(prefix + "row").items()}
    assert {ids.get(ordinal) for ordinal in rows} == documents.keys()
    for ordinal, row in rows.items():
        group_id = ids[ordinal]
        assert row[: stored.HEAD_BYTES] == stored.head(documents[group_id]), group_id
        text, *sellers = row[stored.HEAD_BYTES :].split(b"\xff")
        assert sellers == [seller.encode() for seller in documents[group_id]["seller_ids"]]
        shown = json.loads(text, parse_float=Decimal)
        assert list(shown) == [*DEFAULT_FIELDS]
        assert shown == {field: documents[group_id][field] for field in DEFAULT_FIELDS}
    return documents


def _texts(client: Any, prefix: str, ids: Mapping[int, str]) -> dict[str, bytes]:
    """Returns texts by group id. Chunks have 128 lines, one line for each ordinal, empty where no group is listed."""
    found = {}
    for chunk, lines in client.hgetall(prefix + "text").items():
        assert lines.count(b"\xff") == stored.LINES, chunk
        assert lines.endswith(b"\xff"), chunk
        for place, line in enumerate(lines[:-1].split(b"\xff")):
            if line:
                found[ids[int(chunk) * stored.LINES + place]] = line
    return found


def _check_bits(client: Any, prefix: str, documents: Mapping[int, dict[str, Any]]) -> None:
    """`documents`: by ordinal."""
    expected: dict[str, set[int]] = {}
    for ordinal, document in documents.items():
        for name in stored.bitmaps(document):
            expected.setdefault(name, set()).add(ordinal)
    names = [name for name in _names(client, prefix, "STRING") if name.startswith("bits:")]
    assert all(re.fullmatch(r"bits:(all|has:display_id|by:\w+:\d+|of:\w+:.*)", name, re.DOTALL) for name in names)
    bitmaps = client.mget([prefix + name for name in names]) if names else []
    found = {name: stored.bits(bitmap) for name, bitmap in zip(names, bitmaps, strict=True)}
    for name in found.keys() | expected.keys():
        # A value has a bitmap only after it has had many groups.
        if name in found or not name.startswith("bits:of:"):
            assert found.get(name, set()) == expected.get(name, set()), name


def _check_values(client: Any, prefix: str, documents: Iterable[dict[str, Any]]) -> None:
    """The values that have groups, each with their number; only of fields that are counted."""
    names = (name.split(":", 2) for document in documents for name in oracle.indexes(document)[1:])
    expected = Counter((field, value) for _, field, value in names if field in FACET_FIELDS)
    found = {
        (field, value.decode()): score
        for field in VALUE_FIELDS
        for value, score in client.zrange(f"{prefix}values:{field}", 0, -1, withscores=True)
    }
    assert found == expected


def _check_changed(client: Any, prefix: str, ids: Mapping[int, str]) -> None:
    """The notes of commits are numbered without a gap, and name groups that exist."""
    notes = client.zrange(prefix + "changed", 0, -1, withscores=True)
    assert len(notes) <= CHANGED_MAX
    for (note, score), following in zip(notes, [*notes, None][1:], strict=True):
        number, digest, members = note.split(b":", 2)
        assert int(number) == score
        assert following is None or following[1] == score + 1
        assert re.fullmatch(rb"[0-9a-f]{16}", digest)
        assert members
        assert all(stored.ordinal(members[i : i + 4]) in ids for i in range(0, len(members), 4))


def check(model: ReadModel, events: Iterable[oracle.Event]) -> None:
    """Checks that documents, index entries, scores and texts are exactly those of the events."""
    expected = oracle.groups(events)
    assert {group_id: oracle.parse(document) for group_id, document in model.documents.items()} == expected
    entries: dict[tuple[str, str], float] = {}
    for document in expected.values():
        entries |= oracle.entries(document)
    assert model.entries == entries
    assert model.texts == {group_id: stored.line(document) for group_id, document in expected.items()}


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
    for position, text in model.parked.items():
        counted = json.loads(text).get("counted")
        if counted is not None and position.rpartition("@")[0] == partition:
            assert counted == len(position) + len(text) - len(str(counted)) + len("0")
            found += counted
    return found
