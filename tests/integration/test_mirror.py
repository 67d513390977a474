"""`q` in the mirror of the text: what is found, repaired by the call that answers, is that of one commit."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar, cast

import pytest
import redis
from redis.cluster import RedisCluster

from projector.readmodel.client.errors import Unavailable
from projector.readmodel.client.reader import Reader
from projector.readmodel.query.lua import scripts
from projector.readmodel.query.mirror import mirrors as mirrors_module
from projector.readmodel.query.mirror import shard as shard_module
from projector.readmodel.query.mirror.mirrors import Mirrors
from projector.readmodel.query.mirror.shard import Found
from tests.integration.lines import KEPT_COMMITS, Lines, list_generation, make_live
from tests.servers.cluster import Place

T = TypeVar("T")
LUA = Path(scripts.__file__).parent / "parts"
# Repairs a mask in the key that the first argument names, and reports it and the commit that it is of.
REPAIR = (
    "#!lua flags=allow-oom\n"
    + "".join(f"local {part} = (function()\n{(LUA / part).with_suffix('.lua').read_text()}end)()\n"
              for part in ("shard", "changes", "needle"))
    + """
local key = shard.prefix .. 'bits:tmp:q'
local is_done = needle.mask(key, ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4])
local reply = {is_done and 1 or 0, redis.call('GET', key) or '', (changes.newest())}
redis.call('DEL', key)
return reply
"""
)  # fmt: skip


def ones(bits: bytes) -> set[int]:
    return {place for place in range(8 * len(bits)) if bits[place // 8] >> (7 - place % 8) & 1}


@pytest.fixture
def one_client(one_redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(one_redis_url) as client:
        yield client


class Searching:
    """A mirror, and the script that answers."""

    def __init__(self, url: str, reader: Reader, mirrors: Mirrors) -> None:
        self._client = redis.Redis.from_url(url)
        self.reader = reader
        self.mirrors = mirrors

    async def found(self, needle: str, wait_s: float | None = None) -> Sequence[Found]:
        (live, *_) = await self.reader.generations()
        return await self.mirrors.found(live, needle.encode(), self.reader.deadline_s(wait_s))

    async def is_unread(self, needle: str, wait_s: float = 0.0) -> bool:
        """Whether a search still waits for the text at its deadline."""
        with pytest.raises(Unavailable, match="the text for q is being read"):
            await self.found(needle, wait_s)
        return True

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.mirrors.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

    def repaired(self, lines: Lines, needle: str, found: Found) -> tuple[set[int], int] | None:
        """The ordinals of one commit, and its number; None if the mirror has to be refreshed."""
        keys = (lines.prefix + "position", lines.prefix + "absent")
        reply = self._client.eval(REPAIR, 2, *keys, needle.encode(), found.bits, found.number, found.digest)
        is_done, bits, number = cast(tuple[int, bytes, int], reply)
        return (ones(bits), number) if is_done else None

    def close(self) -> None:
        self._client.close()


def run(url: str, test: Callable[[Searching], Awaitable[T]]) -> T:
    async def body() -> T:
        reader = Reader(url, 10_000, 4)
        searching = Searching(url, reader, Mirrors(reader))
        try:
            return await test(searching)
        finally:
            searching.close()
            await reader.close()

    return asyncio.run(body())


WORDS = ("og_1", "og_ä", "og_日本", "og_zzz", "x", "")


def some_lines(rng: random.Random, number: int, below: int) -> dict[int, bytes]:
    """One line in ten is that of a group that is not listed any more."""
    return {
        rng.randrange(below): b"" if rng.random() < 0.1 else f"{rng.choice(WORDS)}{rng.randrange(100)}".encode()
        + b"\xfe" + rng.choice(WORDS).encode()
        for _ in range(number)
    }  # fmt: skip


@pytest.mark.parametrize("shards", [1, 3])
def test_finds_what_is_in_lines_and_follows_commits(
    any_redis: Place, client: "redis.Redis | RedisCluster", shards: int
) -> None:
    rng = random.Random(shards)
    make_live(client, 1, shards)
    # Chunks between are missing.
    text = [Lines(client, 1, shard) for shard in range(shards)]
    for lines in text:
        lines.commit(some_lines(rng, 300, 1000), {5000: b"og_far\xfe"})

    async def test(searching: Searching) -> None:
        await searching.mirrors.follow()
        for step in range(20):
            for needle in ("og_1", "ä", "本", "z5", "7", "og_far", "not there"):
                found = await searching.found(needle)
                assert [ones(one.bits) for one in found] == [lines.naive(needle.encode()) for lines in text]
                assert [(one.number, one.digest.decode()) for one in found] == [(x.number, x.digest) for x in text]
            for lines in text:
                lines.commit(*(some_lines(rng, 40, 1000 + 300 * step) for _ in range(rng.randrange(4))))

    run(any_redis.url, test)


def test_an_empty_generation_is_mirrored(one_redis_url: str, one_client: "redis.Redis") -> None:
    make_live(one_client, 1, 1)
    lines = Lines(one_client)

    async def test(searching: Searching) -> None:
        await searching.mirrors.follow()
        assert await searching.found("a") == [Found(b"", 0, b"")]
        lines.commit({3: b"a\xfe"})
        assert [ones(one.bits) for one in await searching.found("a")] == [{3}]

    run(one_redis_url, test)


def test_reads_only_the_chunks_that_changed(one_redis_url: str, one_client: "redis.Redis") -> None:
    make_live(one_client, 1, 1)
    lines = Lines(one_client)
    lines.commit(dict.fromkeys(range(0, 128 * 200, 50), b"og_a\xfe"))

    async def test(searching: Searching) -> None:
        await searching.mirrors.follow()
        lines.commit({5: b"og_b\xfe", 7: b"og_b\xfe"}, {128 * 150: b"og_b\xfe"})
        one_client.config_resetstat()
        (found,) = await searching.found("og_b")
        assert ones(found.bits) == {5, 7, 128 * 150}
        (read,) = (line for line in one_client.info("commandstats").items() if line[0] == "cmdstat_hmget")
        assert read[1]["calls"] == 1
        # Behind the mirror's back: only what `changed` names is read again.
        one_client.hset(lines.prefix + "text", "3", b"og_b\xff" * 128)
        lines.commit({9: b"og_b\xfe"})
        (found,) = await searching.found("og_b")
        assert ones(found.bits) == {5, 7, 9, 128 * 150}

    run(one_redis_url, test)


def test_repairs_what_changed_since(one_redis_url: str, one_client: "redis.Redis") -> None:
    rng = random.Random(2)
    make_live(one_client, 1, 1)
    lines = Lines(one_client)
    lines.commit(some_lines(rng, 2000, 3000))

    async def test(searching: Searching) -> None:
        await searching.mirrors.follow()
        for _ in range(20):
            found = {needle: (await searching.found(needle))[0] for needle in ("og_1", "z", "ä", "not there")}
            # Also a chunk that the mirror has not, and one that is deleted.
            lines.commit(*(some_lines(rng, rng.randrange(18), 3300) for _ in range(rng.randrange(5))))
            lines.commit(dict.fromkeys(range(256, 384), b""))
            for needle, one in found.items():
                assert searching.repaired(lines, needle, one) == (lines.naive(needle.encode()), lines.number)

    run(one_redis_url, test)


def test_the_answer_says_so_where_too_much_changed(one_redis_url: str, one_client: "redis.Redis") -> None:
    make_live(one_client, 1, 1)
    lines = Lines(one_client)
    lines.commit({1: b"og_a\xfe"})

    async def test(searching: Searching) -> None:
        await searching.mirrors.follow()
        (found,) = await searching.found("og")
        lines.commit(dict.fromkeys(range(150), b"og\xfe"))
        assert searching.repaired(lines, "og", found) == (set(range(150)), 2)
        # The same groups once more count once.
        lines.commit(dict.fromkeys(range(200), b"og\xfe"))
        assert searching.repaired(lines, "og", found) == (set(range(200)), 3)
        lines.commit({200: b"og\xfe"})
        assert searching.repaired(lines, "og", found) is None
        (found,) = await searching.found("og")
        # One group, in very many commits.
        lines.commit(*[{2: b"og\xfe"}] * 500, {2: b"other\xfe"}, {2: b"og\xfe"}, {3: b""})
        assert searching.repaired(lines, "og", found) is None
        (found,) = await searching.found("og")
        assert searching.repaired(lines, "og", found) == (set(range(201)) - {3}, lines.number)

    run(one_redis_url, test)


@pytest.mark.parametrize("commits_after", [0, 1, 2, 3])
def test_reads_all_again_after_lost_writes(one_redis_url: str, one_client: "redis.Redis", commits_after: int) -> None:
    """Redis has lost two commits, and got fewer, as many or more others since."""
    make_live(one_client, 1, 1)
    lines = Lines(one_client)
    lines.commit(dict.fromkeys(range(200), b"og_kept\xfe"), {1: b"og_lost\xfe"}, {900: b"og_lost\xfe"})

    async def test(searching: Searching) -> None:
        await searching.mirrors.follow()
        (found,) = await searching.found("lost")
        assert ones(found.bits) == {1, 900}
        lines.lose(1)
        lines.commit(*({2: f"og_new{n}\xfe".encode("latin-1")} for n in range(commits_after)))
        assert searching.repaired(lines, "lost", found) is None
        async with searching.following():
            for needle in ("lost", "kept", "new"):
                (found,) = await searching.found(needle)
                assert (ones(found.bits), found.number) == (lines.naive(needle.encode()), lines.number)

    run(one_redis_url, test)


def test_reads_all_again_after_more_commits_than_are_kept(one_redis_url: str, one_client: "redis.Redis") -> None:
    make_live(one_client, 1, 1)
    lines = Lines(one_client)
    lines.commit({0: b"og_first\xfe"})

    async def test(searching: Searching) -> None:
        await searching.mirrors.follow()
        (found,) = await searching.found("og")
        lines.commit(*({n % 700: f"og_{n}\xfe".encode("latin-1")} for n in range(KEPT_COMMITS)))
        # The commit that the mirror has is the oldest one that is kept, then no more.
        assert one_client.zcard(lines.prefix + "changed") == KEPT_COMMITS
        assert searching.repaired(lines, "og", found) is None
        async with searching.following():
            (found,) = await searching.found("og")
            assert (ones(found.bits), found.number) == (lines.naive(b"og"), lines.number)
        lines.commit(*({n % 700: f"og_x{n}\xfe".encode("latin-1")} for n in range(KEPT_COMMITS - 1)))
        (found,) = await searching.found("og_x")
        assert (ones(found.bits), found.number) == (lines.naive(b"og_x"), lines.number)

    run(one_redis_url, test)


def test_an_unfinished_commit_is_read_once_it_is_finished(one_redis_url: str, one_client: "redis.Redis") -> None:
    """`changed` may have a commit although its lines are still to be written."""
    make_live(one_client, 1, 1)
    lines = Lines(one_client)
    lines.commit({1: b"og_a\xfe"})

    async def test(searching: Searching) -> None:
        await searching.mirrors.follow()
        lines.tear({2: b"og_b\xfe"})
        (found,) = await searching.found("og")
        assert (ones(found.bits), found.number) == ({1}, 1)
        other = Mirrors(searching.reader)
        await other.follow()
        lines.redo({2: b"og_b\xfe"})
        assert searching.repaired(lines, "og", found) == ({1, 2}, 2)
        (found,) = await searching.found("og")
        assert (ones(found.bits), found.number) == ({1, 2}, 2)
        searching.mirrors = other
        assert await searching.is_unread("og")
        await other.follow()
        (found,) = await searching.found("og")
        assert (ones(found.bits), found.number) == ({1, 2}, 2)

    run(one_redis_url, test)


def test_mirrors_the_active_generation_and_the_one_that_follows(one_redis_url: str, one_client: "redis.Redis") -> None:
    async def test(searching: Searching) -> None:
        await searching.mirrors.follow()
        make_live(one_client, 3, 1)
        for number, state, version in (
            (2, "ready", 8), (3, "ready", 8), (4, "verified", 8), (5, "ready", 8), (6, "building", 8), (7, "ready", 7),
        ):  # fmt: skip
            list_generation(one_client, number, 1, state, version)
            Lines(one_client, number).commit({number: b"og\xfe"})
        assert await searching.is_unread("og")
        await searching.mirrors.follow()
        assert [ones(one.bits) for one in await searching.found("og")] == [{3}]
        make_live(one_client, 5, 1)
        assert [ones(one.bits) for one in await searching.found("og")] == [{5}]
        make_live(one_client, 4, 1)
        assert await searching.is_unread("og")
        # That of 3 is dropped by now, and 5 may still follow.
        await searching.mirrors.follow()
        assert [ones(one.bits) for one in await searching.found("og")] == [{4}]
        make_live(one_client, 5, 1)
        assert [ones(one.bits) for one in await searching.found("og")] == [{5}]
        make_live(one_client, 3, 1)
        assert await searching.is_unread("og")

    run(one_redis_url, test)


@pytest.fixture
def long_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror follows at the start, and when a search wakes it."""
    monkeypatch.setattr(mirrors_module, "PAUSE_S", 3600.0)


@pytest.mark.usefixtures("long_pause")
def test_a_search_wakes_the_mirror_of_a_new_generation(one_redis_url: str, one_client: "redis.Redis") -> None:
    async def test(searching: Searching) -> None:
        async with searching.following():
            for number in (1, 2):
                make_live(one_client, number, 1)
                Lines(one_client, number).commit({number: b"og\xfe"})
                several = await asyncio.gather(*(searching.found("og") for _ in range(5)))
                assert [ones(one.bits) for (one,) in several] == [{number}] * 5

    run(one_redis_url, test)


def times_called(client: "redis.Redis", command: str) -> int:
    stats = cast(dict[str, dict[str, int]], client.info("commandstats"))
    return stats.get(f"cmdstat_{command}", {"calls": 0})["calls"]


@pytest.mark.usefixtures("long_pause")
def test_searches_wait_for_an_unfinished_commit_without_haste(one_redis_url: str, one_client: "redis.Redis") -> None:
    make_live(one_client, 1, 1)
    lines = Lines(one_client)
    lines.tear({2: b"og\xfe"})

    async def test(searching: Searching) -> None:
        async with searching.following():
            one_client.config_resetstat()
            waiting = [asyncio.create_task(searching.found("og")) for _ in range(5)]
            assert await searching.is_unread("og", 0.5)
            # Each search wakes it once at most, beside the start: it asks which generations there are.
            assert times_called(one_client, "hgetall") <= 2 * len(waiting) + 3
            lines.redo({2: b"og\xfe"})
            # One more wakes it, and all are answered.
            several = await asyncio.gather(searching.found("og"), *waiting)
            assert [ones(one.bits) for (one,) in several] == [{2}] * 6

    run(one_redis_url, test)


@pytest.mark.usefixtures("long_pause")
def test_no_search_hurries_a_mirror_that_failed(one_redis_url: str, one_client: "redis.Redis") -> None:
    make_live(one_client, 1, 1)
    Lines(one_client).commit({1: b"og\xfe"})
    one_client.set("og:{1.0}:text", "of another type")

    async def test(searching: Searching) -> None:
        one_client.config_resetstat()
        async with searching.following():
            assert await searching.is_unread("og", 0.5)
            assert await searching.is_unread("og", 0.1)
            assert times_called(one_client, "hmget") == 1

    run(one_redis_url, test)


@pytest.mark.usefixtures("long_pause")
def test_a_search_ends_at_its_deadline_after_its_mirror_ended(one_redis_url: str, one_client: "redis.Redis") -> None:
    make_live(one_client, 1, 1)
    Lines(one_client).tear({2: b"og\xfe"})

    async def test(searching: Searching) -> None:
        async with searching.following():
            waiting = asyncio.create_task(searching.is_unread("og", 0.3))
            assert await searching.is_unread("og", 0.1)
        assert await waiting

    run(one_redis_url, test)


def test_answers_are_of_one_commit_while_others_come(
    one_redis_url: str, one_client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text is read, refreshed and searched in small slices, with commits in between."""
    monkeypatch.setattr(shard_module, "SLICE_CHUNKS", 50)
    monkeypatch.setattr(shard_module, "SEARCHED_CHUNKS", 1)
    monkeypatch.setattr(shard_module, "HELD_S", 0.0)
    rng = random.Random(6)
    make_live(one_client, 1, 1)
    lines = Lines(one_client)
    lines.commit(some_lines(rng, 4000, 120_000))
    is_over = threading.Event()

    def write() -> None:
        while not is_over.is_set():
            lines.commit(some_lines(rng, 5, 130_000))

    async def test(searching: Searching) -> None:
        answers = 0
        while answers < 10:
            searching.mirrors = Mirrors(searching.reader)
            await searching.mirrors.follow()
            # Some refresh the text while others search it; half of the searches are kept ones.
            needles = ("og_1", "ä", "x", "og_1", "_", "ä")
            await asyncio.gather(*map(searching.found, needles))
            for needle, (found,) in zip(needles, await asyncio.gather(*map(searching.found, needles)), strict=True):
                repaired = searching.repaired(lines, needle, found)
                if repaired is not None:
                    ordinals, number = repaired
                    assert ordinals == lines.naive(needle.encode(), number)
                    answers += number > found.number

    writer = threading.Thread(target=write)
    writer.start()
    try:
        run(one_redis_url, test)
    finally:
        is_over.set()
        writer.join()


def test_a_search_ends_at_its_deadline(one_redis_url: str, one_client: "redis.Redis") -> None:
    make_live(one_client, 1, 1)
    Lines(one_client).commit(dict.fromkeys(range(0, 128 * 1000, 128), b"og\xfe"))

    async def test(searching: Searching) -> None:
        await searching.mirrors.follow()
        (live,) = await searching.reader.generations()
        with pytest.raises(Unavailable):
            await searching.mirrors.found(live, b"og", asyncio.get_running_loop().time())

    run(one_redis_url, test)
