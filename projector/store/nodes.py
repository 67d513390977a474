"""Which server holds a key: the one Redis there is, or a master of the cluster. Which of both it is, is asked."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from projector.errors import CannotGoOn, StoreUnavailable

# How long one call may take, in seconds, before its result counts as unknown.
CALL_TIMEOUT_S = 2.0

# Refusals that pass by themselves: loading after a restart, a long script, a failover, a full disk, full memory, a slot
# on its way to another master. redis-py has a class for some, and takes their first word off the text.
_PASSING = ("LOADING", "BUSY", "READONLY", "MISCONF", "OOM", "NOREPLICAS")
_PASSING_TYPES = (
    redis.exceptions.AskError,
    redis.exceptions.TryAgainError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.MasterDownError,
    redis.OutOfMemoryError,
    redis.ReadOnlyError,
)

_KEEP_BOOK = "#!lua flags=allow-oom\nreturn redis.call(unpack(ARGV))"


def connect(url: str) -> redis.Redis:
    """Opens nothing yet. One attempt a call: whether to try again is for the caller, who knows what is safe."""
    return redis.Redis.from_url(
        url, socket_timeout=CALL_TIMEOUT_S, socket_connect_timeout=CALL_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
    )


class Nodes:
    """Not thread-safe: a Nodes for each thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._first = connect(url)
        self._asked = False
        self._cluster: RedisCluster | None = None
        self._is_stale = False
        self._of: dict[str, redis.Redis] = {}

    def of(self, key: str) -> redis.Redis:
        """Raises StoreUnavailable."""
        cluster = self._topology()
        found = self._of.get(key)
        if found is None:
            found = self._first if cluster is None else self._master(cluster, key)
            self._of[key] = found
        return found

    def keep_book(self, key: str, *command: str | bytes | int) -> None:
        """A small write that even a full Redis takes: what frees memory needs some. Raises StoreUnavailable."""
        with self.errors():
            self.of(key).eval(_KEEP_BOOK, 1, key, *command)

    def all(self) -> list[redis.Redis]:
        """Every master. Raises StoreUnavailable."""
        cluster = self._topology()
        if cluster is None:
            return [self._first]
        return [cluster.get_redis_connection(node) for node in cluster.get_primaries()]  # type: ignore[no-untyped-call]

    def close(self) -> None:
        self._first.close()
        if self._cluster is not None:
            self._cluster.close()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """No error of redis-py's leaves this block, but for NoScriptError: it is no trouble, only a reason to send it.

        Raises StoreUnavailable where trying again may help, CannotGoOn where it will not.
        """
        try:
            yield
        except redis.exceptions.NoScriptError:
            raise
        except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.RedisClusterException) as error:
            self._is_stale = True
            raise StoreUnavailable(f"Redis does not answer: {error}") from error
        except redis.ResponseError as error:
            if isinstance(error, _PASSING_TYPES) or str(error).startswith(_PASSING):
                self._is_stale = True
                raise StoreUnavailable(f"Redis refuses for now: {error!r}") from error
            raise CannotGoOn(f"Redis refuses: {error}") from error

    def _topology(self) -> RedisCluster | None:
        """None for a stand-alone server. A cluster is asked anew after trouble with any node."""
        with self.errors():
            if not self._asked:
                self._cluster = self._ask()
                self._asked = True
            elif self._is_stale and self._cluster is not None:
                self._cluster.nodes_manager.initialize()
                self._of.clear()
            self._is_stale = False
        return self._cluster

    def _ask(self) -> RedisCluster | None:
        try:
            self._first.execute_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]
        except redis.ResponseError as error:
            # Disabled, or not for us to ask: then the one server is all we see.
            if isinstance(error, _PASSING_TYPES) or str(error).startswith(_PASSING):
                raise
            return None
        return RedisCluster.from_url(
            self._url,
            socket_timeout=CALL_TIMEOUT_S,
            socket_connect_timeout=CALL_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )

    @staticmethod
    def _master(cluster: RedisCluster, key: str) -> redis.Redis:
        node = cluster.get_node_from_key(key)  # type: ignore[no-untyped-call]
        if node is None:
            raise redis.exceptions.RedisClusterException(f"no master has {key}")
        return cluster.get_redis_connection(node)
