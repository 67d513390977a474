"""The write side's view of Redis: the generation, what is stored, and the commit."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from events.log import Partition
from projector.errors import CannotGoOn, StoreUnavailable
from projector.readmodel.document import VERSION
from projector.readmodel.keys import LIVE, Generation
from projector.store.commit import SCRIPT, Outcome

# How long one call may take, in seconds, before its result counts as unknown.
CALL_TIMEOUT_S = 2.0

T = TypeVar("T")

# Refusals that pass by themselves: loading after a restart, a long script, a failover, a full disk, full memory.
_PASSING = ("LOADING", "BUSY", "READONLY", "MISCONF", "OOM", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "NOREPLICAS")


def connect(url: str) -> redis.Redis:
    """Opens nothing yet. One attempt a call: whether to try again is for the caller, who knows what is safe.

    Raises ValueError for a URL that redis-py cannot read.
    """
    return redis.Redis.from_url(
        url, socket_timeout=CALL_TIMEOUT_S, socket_connect_timeout=CALL_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
    )


class Store:
    """Every method raises StoreUnavailable when Redis does not answer, or refuses for a while.

    After StoreUnavailable from `commit` its result is unknown: send the identical request again.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._commit = client.register_script(SCRIPT)

    def generation(self) -> Generation:
        """The live one, made if there is none. Raises CannotGoOn where another version of the code made it."""

        def ensure() -> Generation:
            first = Generation(number=0, shards=1, version=VERSION)
            if self._client.set(LIVE, msgspec.json.encode(first), nx=True):
                generation = first
            else:
                generation = msgspec.json.decode(self._client.get(LIVE) or b"", type=Generation)
            if generation.version == VERSION:
                for shard in range(generation.shards):
                    self._client.hset(generation.keys(shard).meta, "version", VERSION)
            return generation

        generation = self._call(ensure)
        if generation.version != VERSION:
            raise CannotGoOn(
                f"the read model in Redis has version {generation.version}, this code writes version {VERSION}: "
                "run the code that made it, or clear Redis to have it rebuilt from the log"
            )
        return generation

    def positions(self, generation: Generation, shard: int, partitions: Sequence[Partition]) -> list[int | None]:
        """The next offset to apply, for each partition; None where nothing has been applied yet."""
        names = [str(partition) for partition in partitions]
        stored = self._call(lambda: self._client.hmget(generation.keys(shard).position, names))
        return [None if offset is None else int(offset) for offset in stored]

    def load(self, generation: Generation, shard: int, group_ids: Sequence[str]) -> Mapping[str, bytes | None]:
        """The states, in one round trip."""
        stored = self._call(lambda: self._client.hmget(generation.keys(shard).state, group_ids))
        return cast(Mapping[str, bytes | None], dict(zip(group_ids, stored, strict=True)))

    def commit(self, generation: Generation, shard: int, request: Sequence[str | bytes]) -> Outcome:
        answer = self._call(lambda: self._commit(keys=[generation.keys(shard).meta], args=request))
        return Outcome(answer[0].decode())

    def close(self) -> None:
        self._client.close()

    @staticmethod
    def _call(call: Callable[[], T]) -> T:
        try:
            return call()
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise StoreUnavailable(f"Redis does not answer: {error}") from error
        except redis.ResponseError as error:
            if str(error).startswith(_PASSING) or isinstance(error, redis.OutOfMemoryError | redis.ReadOnlyError):
                raise StoreUnavailable(f"Redis refuses for now: {error}") from error
            raise CannotGoOn(f"Redis refuses: {error}") from error
