"""A search over several shards, each with as many lines as it likes; what is asked and what becomes of the answers."""

import random

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.query.prepare.search import SLICE_CHUNKS, UNSEARCHED, Found, Search
from projector.readmodel.schema.keys import LINES, Generation

BITS = LINES // 8


def live(number: int, shards: int) -> ActiveGeneration:
    generation = Generation(number, shards, 2, "n")
    keys = tuple(generation.keys(shard) for shard in range(shards))
    return ActiveGeneration(b"", None, generation, b"", keys, ())


def chunk(shard: int, number: int) -> bytes:
    return bytes([shard, number % 256]) * (BITS // 2)


def replies(commands: list[tuple[str | bytes, ...]], chunks: list[int], rng: random.Random) -> list[object]:
    """As search.lua answers: some of the chunks that it was asked for."""
    found: list[object] = []
    for shard, command in enumerate(commands):
        if command == ("PING",):
            found.append(b"PONG")
            continue
        *_, needle, first, most = command
        assert needle == "x"
        last = min(int(first) + rng.randint(1, int(most)), chunks[shard])
        bits = b"".join(chunk(shard, number) for number in range(int(first), last))
        # A line is edited at every look, and one more chunk has become full.
        found.append([bits, chunks[shard] + rng.randrange(2), 7 + int(first)])
    return found


def test_each_shard_is_searched_to_where_its_first_slice_saw_the_end() -> None:
    rng = random.Random(1)
    for chunks in ([0], [1], [500], [3, 0, 90], [40] * 16, [7] * 200):
        search, served = Search("x"), live(1, len(chunks))
        assert search.found(served) == [None] * len(chunks)
        assert not search.begin(served, [5] * len(chunks))
        assert search.begin(served, [UNSEARCHED] * len(chunks))
        firsts: dict[int, int] = {}
        while not search.is_done:
            commands = search.slices(served)
            asked = [int(command[-1]) for command in commands if command != ("PING",)]
            assert sum(asked) <= max(SLICE_CHUNKS, len(chunks))
            answers = replies(list(commands), chunks, rng)
            for shard, answer in enumerate(answers):
                if isinstance(answer, list):
                    firsts.setdefault(shard, answer[1])
                    # What is beyond the end of the first slice need not be there.
                    chunks[shard] = max(chunks[shard], firsts[shard])
            search.take(answers)
        for shard, found in enumerate(search.found(served)):
            assert found is not None
            assert found.chunks == firsts[shard]
            assert found.edits == 7
            assert found.bits[: found.chunks * BITS] == b"".join(chunk(shard, n) for n in range(firsts[shard]))


def test_a_shard_that_has_lost_its_lines_is_done() -> None:
    search, served = Search("x"), live(1, 1)
    assert search.begin(served, [UNSEARCHED])
    search.take([[chunk(0, 0), 90, 3]])
    assert not search.is_done
    search.take([[b"", 0, 0]])
    assert search.is_done


def test_only_shards_that_ask_for_it_are_searched() -> None:
    search, served = Search("x"), live(1, 3)
    assert search.begin(served, [4, UNSEARCHED, 0])
    ping, command, also = search.slices(served)
    assert ping == also == ("PING",)
    assert command[0] == "EVALSHA"
    search.take([b"PONG", [b"", 0, 3], b"PONG"])
    assert search.is_done
    assert search.found(served) == [None, Found(b"", 0, 3), None]


def test_another_generation_is_searched_from_its_beginning() -> None:
    search = Search("x")
    assert search.begin(live(1, 1), [UNSEARCHED])
    search.take([[chunk(0, 0), 2, 3]])
    served = live(2, 2)
    assert [command[-2] for command in search.slices(served)] == ["0", "0"]
    assert not search.is_done
    search.take([[b"", 0, 0], [b"", 0, 5]])
    assert search.found(served) == [Found(b"", 0, 0), Found(b"", 0, 5)]
    assert search.found(live(1, 1)) == [None]
