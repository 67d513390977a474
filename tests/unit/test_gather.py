"""Filters that are put together in many calls: what is asked of each shard, and what becomes of the answers."""

import random

import msgspec

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.client.batches import Command
from projector.readmodel.query.prepare.gather import BEHIND, UNGATHERED, Gathered, Gathering
from projector.readmodel.query.prepare.sides import Side
from projector.readmodel.schema.keys import Generation, Keys

POSITION: list[bytes] = []


def live(number: int, shards: int) -> ActiveGeneration:
    generation = Generation(number, shards, 2, "n")
    keys = tuple(generation.keys(shard) for shard in range(shards))
    return ActiveGeneration(b"", None, generation, b"", keys, ())


def side(number: int, pieces: int) -> Side:
    def gather(keys: Keys, first: int) -> Command:
        return (keys.prefix, str(number), str(first))

    return Side(pieces, gather)


def test_each_side_is_gathered_piece_by_piece_and_the_answer_has_what_all_have() -> None:
    """As gather.lua answers: a piece, or some, at a time; its bitmaps have no bytes behind the last bit, and who was
    never listed has no ordinal.
    """
    rng = random.Random(1)
    for shards in (1, 3, 16):
        pieces = {number: rng.randrange(1, 9) for number in range(1, 9)}
        sides = [side(*one)._replace(left_out=one[0] % 3 == 0) for one in pieces.items()]
        served, gathering = live(1, shards), Gathering(sides.copy)
        wanted = [rng.sample(range(1, 9), rng.randrange(4)) for _ in range(shards)]
        assert gathering.gathered(served) == [None] * shards
        replies = [[POSITION, UNGATHERED, *sides] if sides else [POSITION, 7, b""] for sides in wanted]
        assert gathering.begin(served, replies) is any(wanted)
        bits: dict[tuple[int, int], set[int]] = {
            (shard, number): set() for shard, sides in enumerate(wanted) for number in sides
        }
        asked = dict.fromkeys(bits, 0)
        begun: dict[int, tuple[bytes, ...]] = {}
        while not gathering.is_done:
            answers: list[object] = []
            for shard, command in enumerate(gathering.slices(served)):
                if command == ("PING",):
                    answers.append(b"PONG")
                    continue
                prefix, number, first = command
                assert prefix == f"og:{{1.{shard}}}:"
                one = (shard, int(number))
                assert int(first) == asked[one] < pieces[one[1]]
                of_bitmaps, members = (set(rng.choices(range(60), k=rng.randrange(60))) for _ in range(2))
                some, left = of_bitmaps | members, pieces[one[1]] - asked[one]
                left_out = sides[one[1] - 1].left_out
                # What others are left out of is asked for alone.
                bits[one] = bits[one] ^ some if left_out and left == 1 else bits[one] | some
                done = min(rng.randrange(1, 3), left - 1 if left_out and left > 1 else left)
                asked[one] += done
                at = (b"%d" % rng.randrange(1000), b"og", b"%d:" % rng.randrange(1000))
                begun.setdefault(shard, at)
                looked_up = [*(b"%d" % ordinal for ordinal in members), *([None] * rng.randrange(2))]
                answers.append([done, bitmap(of_bitmaps), looked_up, *at])
            gathering.take(answers)
        assert asked == {one: pieces[one[1]] for one in asked}
        for shard, gathered in enumerate(gathering.gathered(served)):
            if not wanted[shard]:
                assert gathered is None
                continue
            assert gathered is not None
            assert tuple(gathered.since) == begun[shard]
            assert msgspec.msgpack.decode(gathered.sides) == wanted[shard]
            assert ordinals_of(gathered.bits) == set.intersection(*(bits[shard, number] for number in wanted[shard]))


def test_what_comes_later_is_left_to_the_answer() -> None:
    served, gathering = live(1, 1), Gathering(lambda: [side(1, 1), side(2, 5)])
    assert gathering.begin(served, [[POSITION, UNGATHERED, 2]])
    gathering.take([[4, b"\x80", [], b"100", b"og_1", b"7:"]])
    assert gathering.slices(served) == [("og:{1.0}:", "2", "4")]
    assert gathering.gathered(served) == [None]
    gathering.take([[1, b"", [b"15"], b"130", b"og_2", b"9:"]])
    assert gathering.is_done
    assert gathering.gathered(served) == [Gathered(b"\x91\x02", b"\x80\x01", [b"100", b"og_1", b"7:"])]


def test_what_is_left_out_of_the_last_piece() -> None:
    gathering = Gathering(lambda: [side(1, 3)._replace(left_out=True)])
    assert gathering.begin(live(1, 1), [[POSITION, UNGATHERED, 1]])
    gathering.take([[2, b"\x40", [b"3", b"9"], b"100", b"og_1", b"7:"]])
    gathering.take([[1, b"\xf0\xf0", [], b"100", b"og_1", b"7:"]])
    assert gathering.is_done
    (found,) = gathering.gathered(live(1, 1))
    assert found is not None
    assert ordinals_of(found.bits) == {0, 2, 8, 10, 11}


def test_an_answer_that_is_behind_is_where_it_goes_on() -> None:
    served, gathering = live(1, 2), Gathering(lambda: [side(n, 3) for n in range(1, 5)])
    assert gathering.begin(
        served, [[POSITION, BEHIND, b"130", b"og_2", b"9:", b"\x92\x01\x04", b"\x01"], [POSITION, 3, b"{}"]]
    )
    assert gathering.is_done
    assert gathering.gathered(served) == [Gathered(b"\x92\x01\x04", b"\x01", [b"130", b"og_2", b"9:"]), None]


def test_another_generation_begins_anew() -> None:
    gathering = Gathering(lambda: [side(1, 1)])
    assert gathering.begin(live(1, 1), [[POSITION, UNGATHERED, 1]])
    gathering.take([[1, b"\x80", [], b"100", b"og_1", b"7:"]])
    assert gathering.gathered(live(2, 3)) == [None] * 3
    assert gathering.slices(live(2, 3)) == [("PING",)] * 3
    assert gathering.is_done


def bitmap(ordinals: set[int]) -> bytes:
    """As SETBIT makes it: the first is the highest bit of the first byte."""
    found = bytearray(max(ordinals, default=-1) // 8 + 1)
    for ordinal in ordinals:
        found[ordinal // 8] |= 128 >> ordinal % 8
    return bytes(found)


def ordinals_of(mask: bytes) -> set[int]:
    return {8 * at + place for at, byte in enumerate(mask) for place in range(8) if byte & 128 >> place}
