"""Documents that are read after their ids: what is asked of each shard, and whether they are those of the list."""

import pytest

from api.batches import Block
from api.documents import Documents
from api.errors import ReadModelFault
from api.live import Live
from api.scripts import CHANGED
from projector.readmodel.keys import Generation

MOMENT = [b"9", b"og_8", b"3:"]
GENERATION = Generation(1, 3, 4, "n")
IDS = [b"og_%d" % n for n in range(20)]
SHARDS = [[one for one in IDS if GENERATION.shard_of(one.decode()) == shard] for shard in range(3)]


def live(generation: Generation) -> Live:
    keys = tuple(generation.keys(shard) for shard in range(generation.shards))
    return Live(b"", None, generation, b"", keys, ())


def documents(*, whole: bool = False, listed: list[bytes] | None = None) -> Documents:
    """`listed`: groups of the first shard that were listed after its moment."""
    replies: list[list[object]] = [[[], 7, ids, [], MOMENT] for ids in SHARDS]
    if listed is not None:
        replies[0].append(listed)
    return Documents(live(GENERATION), IDS, replies, whole=whole)


def row(group_id: bytes) -> bytes:
    return b'{"id":"%b"}' % group_id


def test_what_is_asked_of_each_shard() -> None:
    for whole, parts in ((False, ("row",)), (True, ("row", "rest"))):
        commands = documents(whole=whole).commands(live(GENERATION))
        for shard, (command, ids) in enumerate(zip(commands, SHARDS, strict=True)):
            assert isinstance(command, Block)
            prefix = f"og:{{1.{shard}}}:"
            *read, last = command.commands
            assert read == [("HMGET", prefix + part, *ids) for part in parts]
            assert last[:7] == ("EVALSHA", CHANGED.digest, "1", prefix + "position", *MOMENT)


def test_they_are_told_in_the_order_of_the_page() -> None:
    found = documents(), documents(whole=True)
    heads = [[[row(one) for one in ids], []] for ids in SHARDS]
    assert found[0].rows(live(GENERATION), heads) == b",".join(map(row, IDS))
    parts = [[[row(one) for one in ids], [b',"n":1}'] * len(ids), [b"og_other"]] for ids in SHARDS]
    assert found[1].rows(live(GENERATION), parts) == b",".join(row(one)[:-1] + b',"n":1}' for one in IDS)


@pytest.mark.parametrize("shard", range(3))
def test_a_group_that_changed_meanwhile(shard: int) -> None:
    heads: list[list[object]] = [[[row(one) for one in ids], []] for ids in SHARDS]
    for changed in ([SHARDS[shard][-1]], None):
        told = [*heads[:shard], [heads[shard][0], changed], *heads[shard + 1 :]]
        assert documents().rows(live(GENERATION), told) is None


def test_a_group_beside_the_page_that_was_placed_with_it() -> None:
    heads: list[list[object]] = [[[row(one) for one in ids], []] for ids in SHARDS]
    told = [[heads[0][0], [b"og_beside"]], *heads[1:]]
    assert documents().rows(live(GENERATION), told) is not None
    assert documents(listed=[b"og_beside"]).rows(live(GENERATION), told) is None


def test_one_that_is_missing_is_a_fault() -> None:
    told: list[list[object]] = [[[row(one) for one in ids], []] for ids in SHARDS]
    told[1] = [[None, *[row(one) for one in SHARDS[1][1:]]], []]
    with pytest.raises(ReadModelFault, match=SHARDS[1][0].decode()):
        documents().rows(live(GENERATION), told)


def test_another_generation_has_other_documents() -> None:
    other = live(Generation(2, 2, 4, "n"))
    assert documents().commands(other) == [("PING",)] * 2
    assert documents().rows(other, [b"PONG"] * 2) is None
