"""Who asks Redis together: for the same once, for all else on its own. INCR, which nobody sends, shows how often."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import redis
from redis.exceptions import ResponseError

from projector.readmodel.client.batches import Batches, Block
from projector.readmodel.client.pools import target_of
from tests.servers.process import wait_until


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Batches]:
    batches = Batches(target_of(url), 30, 1, points=True)
    try:
        yield batches
    finally:
        await batches.close()


async def under_way(client: "redis.Redis") -> None:
    """A turn with a BLPOP in it."""
    await asyncio.to_thread(wait_until, lambda: client.info("clients")["blocked_clients"] == 1, 10, "the turn")


@pytest.fixture
def run(one_redis_url: str) -> Callable[[Callable[[Batches], Awaitable[None]]], None]:
    with redis.Redis.from_url(one_redis_url) as client:
        client.flushdb()

    def run(test: Callable[[Batches], Awaitable[None]]) -> None:
        async def within() -> None:
            async with opened(one_redis_url) as batches:
                await test(batches)

        asyncio.run(within())

    return run


Run = Callable[[Callable[[Batches], Awaitable[None]]], None]


def test_who_asks_the_same_together_is_asked_for_once(run: Run) -> None:
    async def test(batches: Batches) -> None:
        replies = await asyncio.gather(*(batches.ask(("INCR", "n")) for _ in range(40)))
        assert {reply.value for reply in replies} == {1}
        assert (await batches.ask(("INCR", "n"))).value == 2

    run(test)


def test_who_comes_while_it_is_under_way_is_asked_for_anew(run: Run, one_redis_url: str) -> None:
    async def test(batches: Batches) -> None:
        with redis.Redis.from_url(one_redis_url) as client:
            first = [batches.ask(("INCR", "n")), batches.ask(("BLPOP", "never", "20"))]
            await under_way(client)
            then = [batches.ask(("INCR", "n")) for _ in range(3)]
            client.rpush("never", "now")
            assert (await first[0]).value == 1
            assert [(await one).value for one in then] == [2, 2, 2]

    run(test)


def test_one_who_gives_up_while_it_is_under_way_takes_nothing_from_the_others(run: Run, one_redis_url: str) -> None:
    async def test(batches: Batches) -> None:
        with redis.Redis.from_url(one_redis_url) as client:
            first, *others = [batches.ask(("BLPOP", "never", "20")) for _ in range(3)]
            await under_way(client)
            first.cancel()
            client.rpush("never", "now")
            assert [(await one).value for one in others] == [[b"never", b"now"]] * 2
            assert (await batches.ask(("INCR", "n"))).value == 1

    run(test)


def test_each_has_the_reply_to_its_own_question(run: Run) -> None:
    async def test(batches: Batches) -> None:
        asked = [("ECHO", str(n % 5)) for n in range(50)]
        replies = await asyncio.gather(*map(batches.ask, asked))
        assert [reply.value for reply in replies] == [word.encode() for _, word in asked]
        # In the same bytes, but told in another form.
        block, bare = await asyncio.gather(batches.ask(Block((("ECHO", "a"),))), batches.ask(("ECHO", "a")))
        assert (block.value, bare.value) == ([b"a"], b"a")

    run(test)


def test_all_get_the_error(run: Run) -> None:
    async def test(batches: Batches) -> None:
        await batches.ask(("SET", "text", "a"))
        replies = await asyncio.gather(*(batches.ask(("HGETALL", "text")) for _ in range(3)))
        assert all(isinstance(reply.value, ResponseError) for reply in replies)

    run(test)


def test_one_who_gives_up_takes_nothing_from_the_others(run: Run) -> None:
    async def test(batches: Batches) -> None:
        first, *others = [batches.ask(("INCR", "n")) for _ in range(3)]
        first.cancel()
        assert [(await one).value for one in others] == [1, 1]

    run(test)
