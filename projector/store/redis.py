"""The write side's view of Redis: the generation, what is stored, and the commit."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha1
from typing import Any, TypeVar, cast

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

SHA = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

T = TypeVar("T")

# Refusals that pass by themselves: loading after a restart, a long script, a failover, a full disk, full memory.
_PASSING = ("LOADING", "BUSY", "READONLY", "MISCONF", "OOM", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "NOREPLICAS")


def connect(url: str) -> redis.Redis:
    """Opens nothing yet. One attempt a call: whether to try again is for the caller, who knows what is safe."""
    return redis.Redis.from_url(
        url, socket_timeout=CALL_TIMEOUT_S, socket_connect_timeout=CALL_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
    )


def read_live(client: redis.Redis) -> Generation | None:
    """Which generation readers use; None before the first. Raises CannotGoOn where it is not ours to read."""
    found = client.get(LIVE)
    try:
        return msgspec.json.decode(found, type=Generation) if found else None
    except msgspec.DecodeError as error:
        raise CannotGoOn(f"{LIVE} in Redis: expected a generation, got {found!r} ({error})") from None


class Store:
    """Every method raises StoreUnavailable when Redis does not answer, or refuses for a while."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def generation(self) -> Generation:
        """The live one, made if there is none. Raises CannotGoOn where another version of the code made it."""

        def ensure() -> Generation:
            first = Generation(number=0, shards=1, version=VERSION, nonce=secrets.token_hex(8))
            made = self._client.set(LIVE, msgspec.json.encode(first), nx=True)
            generation = first if made else read_live(self._client)
            if generation is None:
                raise StoreUnavailable(f"{LIVE} vanished while it was read")
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

    def tell_end(self, generation: Generation, end: Mapping[Partition, int]) -> None:
        """For the API, which cannot ask the log: where it ended a moment ago."""
        told: dict[Any, Any] = {str(partition): offset for partition, offset in end.items()}
        self._call(lambda: self._client.hset(generation.keys(0).end, mapping=told))

    def load(self, generation: Generation, shard: int, group_ids: Sequence[str]) -> Mapping[str, bytes | None]:
        """The states, in one round trip."""
        stored = self._call(lambda: self._client.hmget(generation.keys(shard).state, group_ids))
        return cast(Mapping[str, bytes | None], dict(zip(group_ids, stored, strict=True)))

    def commit(self, generation: Generation, shard: int, request: Sequence[str | bytes]) -> "Sent":
        return Sent(self._client.connection_pool, generation.keys(shard).meta, request)

    def close(self) -> None:
        self._client.close()

    @staticmethod
    def _call(call: Callable[[], T]) -> T:
        with _our_errors():
            return call()


class Sent:
    """A commit on its way: Redis works on it while we read and decode what comes next."""

    def __init__(self, pool: redis.ConnectionPool, meta: str, request: Sequence[str | bytes]) -> None:
        self._pool = pool
        self._command = ("EVALSHA", SHA, 1, meta, *request)
        self._connection: redis.connection.Connection | None = None
        # Whether it went out does not matter yet: `outcome` sends it again.
        with suppress(StoreUnavailable):
            self._send(self._command)

    def outcome(self) -> Outcome:
        """Waits for the answer. After StoreUnavailable the result is unknown: the next call sends the same again."""
        if self._connection is None:
            self._send(self._command)
        try:
            answer = self._receive()
        except redis.exceptions.NoScriptError:
            self._send(("SCRIPT", "LOAD", SCRIPT))
            self._receive()
            self._send(self._command)
            answer = self._receive()
        return Outcome(answer[0].decode())

    def _send(self, command: tuple[str | bytes | int, ...]) -> None:
        with _our_errors():
            connection = self._pool.get_connection()
            try:
                connection.send_command(*command)  # type: ignore[no-untyped-call]
            except BaseException:
                self._pool.release(connection)
                raise
            self._connection = connection

    def _receive(self) -> Any:
        connection, self._connection = self._connection, None
        assert connection is not None, "nothing is received before it is sent"
        with _our_errors():
            try:
                return connection.read_response()
            finally:
                self._pool.release(connection)


@contextmanager
def _our_errors() -> Iterator[None]:
    """An unknown script passes through: it is no trouble, only a reason to send it."""
    try:
        yield
    except redis.exceptions.NoScriptError:
        raise
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise StoreUnavailable(f"Redis does not answer: {error}") from error
    except redis.ResponseError as error:
        if str(error).startswith(_PASSING) or isinstance(error, redis.OutOfMemoryError | redis.ReadOnlyError):
            raise StoreUnavailable(f"Redis refuses for now: {error}") from error
        raise CannotGoOn(f"Redis refuses: {error}") from error
