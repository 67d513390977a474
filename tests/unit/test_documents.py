"""Documents that are read after their ids: what is asked of each shard, and whether they are those of the list."""

from typing import Any

import pytest

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.client.batches import Block
from projector.readmodel.client.errors import ReadModelFault
from projector.readmodel.query.calls import HEADS, WHOLE
from projector.readmodel.query.lua.scripts import CHANGED
from projector.readmodel.query.page.documents import READ_BYTES, ROWS_MAX, Documents
from projector.readmodel.query.page.known import Known, Placed
from projector.readmodel.schema.keys import Generation

MOMENT = [b"9", b"og_8", b"3:"]
GENERATION = Generation(1, 3, 4, "n")
IDS = [b"og_%d" % n for n in range(20)]
SHARDS = [[one for one in IDS if GENERATION.shard_of(one.decode()) == shard] for shard in range(3)]


def live(generation: Generation) -> ActiveGeneration:
    keys = tuple(generation.keys(shard) for shard in range(generation.shards))
    return ActiveGeneration(b"", None, generation, b"", keys, ())


def row(group_id: bytes) -> bytes:
    return b'{"id":"%b"}' % group_id


# A document as it is stored, in parts, and as it is wanted.
PARTS = {
    HEADS: ((row,), row),
    WHOLE: ((row, lambda group_id: b',"n":1}'), lambda group_id: row(group_id)[:-1] + b',"n":1}'),
}


@pytest.fixture
def known() -> list[Known]:
    return [Known(GENERATION, [[], 7, ids, [], MOMENT], HEADS) for ids in SHARDS]


def told(parts: int = HEADS) -> list[list[Any]]:
    """As Redis answers: what is stored of all of them, and that nothing has changed."""
    return [[*[[part(one) for one in ids] for part in PARTS[parts][0]], []] for ids in SHARDS]


@pytest.mark.parametrize(("parts", "read"), [(HEADS, ("row",)), (WHOLE, ("row", "rest"))])
def test_what_is_asked_of_each_shard(known: list[Known], parts: int, read: tuple[str, ...]) -> None:
    documents = Documents(known, SHARDS, parts)
    for shard, (command, ids) in enumerate(zip(documents.commands(live(GENERATION)), SHARDS, strict=True)):
        assert isinstance(command, Block)
        prefix = f"og:{{1.{shard}}}:"
        *first, last = command.commands
        assert first == [("HMGET", prefix + part, *ids) for part in read]
        assert last[:8] == ("EVALSHA", CHANGED.digest, "2", prefix + "position", prefix + "absent", *MOMENT)


@pytest.mark.parametrize("parts", [HEADS, WHOLE])
def test_they_are_known_then(known: list[Known], parts: int) -> None:
    replies = told(parts)
    replies[2][-1] = [b"og_other"]
    assert Documents(known, SHARDS, parts).take(live(GENERATION), replies)
    assert [one.rows for one in known] == [{one: PARTS[parts][1](one) for one in ids} for ids in SHARDS]


@pytest.mark.parametrize("shard", range(3))
def test_a_group_that_changed_meanwhile(known: list[Known], shard: int) -> None:
    for changed in ([SHARDS[shard][-1]], None):
        replies = told()
        replies[shard][-1] = changed
        assert not Documents(known, SHARDS, HEADS).take(live(GENERATION), replies)
    # It is read nevertheless: what is out of date is told with the next list.
    assert [len(one.rows) for one in known] == [len(ids) for ids in SHARDS]


def test_a_group_beside_the_page_that_was_placed_with_it(known: list[Known]) -> None:
    replies = told()
    replies[0][-1] = [b"og_beside"]
    assert Documents(known, SHARDS, HEADS).take(live(GENERATION), replies)
    known[0].places[7] = Placed(b"og_beside", b"1")
    assert not Documents(known, SHARDS, HEADS).take(live(GENERATION), replies)


def test_of_a_shard_without_any_it_is_asked_what_changed(known: list[Known]) -> None:
    documents = Documents(known, [[], SHARDS[1], []], HEADS)
    commands = documents.commands(live(GENERATION))
    assert [len(command.commands) for command in commands if isinstance(command, Block)] == [1, 2, 1]
    assert documents.take(live(GENERATION), [[[b"og_other"]], told()[1], [[]]])


def test_one_that_is_missing_is_a_fault_unless_it_has_left(known: list[Known]) -> None:
    replies = told()
    replies[1][0] = [None, *[row(one) for one in SHARDS[1][1:]]]
    documents = Documents(known, SHARDS, HEADS)
    with pytest.raises(ReadModelFault, match=SHARDS[1][0].decode()):
        documents.take(live(GENERATION), replies)
    replies[1][-1] = [SHARDS[1][0]]
    assert not documents.take(live(GENERATION), replies)
    assert SHARDS[1][0] not in known[1].rows


def test_another_generation_has_other_documents(known: list[Known]) -> None:
    other = live(Generation(2, 2, 4, "n"))
    documents = Documents(known, SHARDS, HEADS)
    assert documents.commands(other) == [("PING",)] * 2
    assert not documents.take(other, [b"PONG"] * 2)


def test_the_next_read_has_about_as_many_bytes_as_it_may() -> None:
    """All shards together; the first read is of few documents, since their size is not known yet."""
    for size, rows in ((READ_BYTES, 1), (READ_BYTES // 30, 10), (300, ROWS_MAX)):
        known = [Known(GENERATION, [[], 7, ids, [], MOMENT], HEADS) for ids in SHARDS]
        documents = Documents(known, SHARDS, HEADS)
        assert documents.take(live(GENERATION), [[[b"x" * size for _ in ids], []] for ids in SHARDS])
        assert documents.next_rows() == rows
