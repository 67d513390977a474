"""Equal concurrent commands are sent once. INCR, which only these tests send, counts how often."""

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
    batches = Batches(target_of(url), 30, 1, has_pointer=True)
    try:
        yield batches
    finally:
        await batches.close()


async def blocked(client: "redis.Redis") -> None:
    """Waits until a round trip with a BLPOP has begun."""
    await asyncio.to_thread(wait_until, lambda: client.info("clients")["blocked_clients"] == 1, 10, "BLPOP")


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


def test_equal_commands_that_wait_together_are_sent_once(run: Run) -> None:
    async def test(batches: Batches) -> None:
        replies = await asyncio.gather(*(batches.send(("INCR", "n")) for _ in range(40)))
        assert {reply.value for reply in replies} == {1}
        assert (await batches.send(("INCR", "n"))).value == 2

    run(test)


def test_an_equal_command_during_the_round_trip_is_sent_again(run: Run, one_redis_url: str) -> None:
    async def test(batches: Batches) -> None:
        with redis.Redis.from_url(one_redis_url) as client:
            first = [batches.send(("INCR", "n")), batches.send(("BLPOP", "never", "20"))]
            await blocked(client)
            later = [batches.send(("INCR", "n")) for _ in range(3)]
            client.rpush("never", "now")
            assert (await first[0]).value == 1
            assert [(await one).value for one in later] == [2, 2, 2]

    run(test)


def test_a_cancellation_during_the_round_trip_does_not_affect_others(run: Run, one_redis_url: str) -> None:
    async def test(batches: Batches) -> None:
        with redis.Redis.from_url(one_redis_url) as client:
            first, *others = [batches.send(("BLPOP", "never", "20")) for _ in range(3)]
            await blocked(client)
            first.cancel()
            client.rpush("never", "now")
            assert [(await one).value for one in others] == [[b"never", b"now"]] * 2
            assert (await batches.send(("INCR", "n"))).value == 1

    run(test)


def test_each_command_gets_its_own_reply(run: Run) -> None:
    async def test(batches: Batches) -> None:
        commands = [("ECHO", str(n % 5)) for n in range(50)]
        replies = await asyncio.gather(*map(batches.send, commands))
        assert [reply.value for reply in replies] == [word.encode() for _, word in commands]
        # The same bytes, but another form of the reply.
        block, single = await asyncio.gather(batches.send(Block((("ECHO", "a"),))), batches.send(("ECHO", "a")))
        assert (block.value, single.value) == ([b"a"], b"a")

    run(test)


def test_all_equal_commands_get_the_error(run: Run) -> None:
    async def test(batches: Batches) -> None:
        await batches.send(("SET", "text", "a"))
        replies = await asyncio.gather(*(batches.send(("HGETALL", "text")) for _ in range(3)))
        assert all(isinstance(reply.value, ResponseError) for reply in replies)

    run(test)


def test_a_cancellation_does_not_affect_others(run: Run) -> None:
    async def test(batches: Batches) -> None:
        first, *others = [batches.send(("INCR", "n")) for _ in range(3)]
        first.cancel()
        assert [(await one).value for one in others] == [1, 1]

    run(test)
