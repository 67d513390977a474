"""Which server holds a key: the one Redis there is, or a master of the cluster. Which of both it is, is asked."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from projector.errors import StoreUnavailable
from projector.readmodel.client.refusals import Refusal, refusal_of
from projector.readmodel.client.sentinels import sentinels

# How long one call may take, in seconds, before its result counts as unknown.
CALL_TIMEOUT_S = 2.0
# And how long a sentinel may take to say who is master, before the next one is asked.
SENTINEL_TIMEOUT_S = 0.5

# To one server. Of each shard a commit and a look at groups may be under way, and there are up to 1024 shards.
CONNECTIONS_MAX = 4096

# Where another server may have taken its place.
_ELSEWHERE = (Refusal.READONLY, Refusal.NOREPLICAS, Refusal.MASTERDOWN)

_KEEP_BOOK = "#!lua flags=allow-oom\nreturn redis.call(unpack(ARGV))"


def connect(url: str) -> redis.Redis:
    """Opens nothing yet. One attempt a call: whether to try again is for the caller, who knows what is safe.

    With sentinels, every new connection asks them who is master.
    """
    known, options = sentinels(url), _options(CALL_TIMEOUT_S)
    if known is None:
        return redis.Redis.from_url(url, **options)
    manager = Sentinel(known.hosts, sentinel_kwargs={**known.sentinel, **_options(SENTINEL_TIMEOUT_S)})  # type: ignore[no-untyped-call]
    master: redis.Redis = manager.master_for(known.service, **known.target, **options)  # type: ignore[no-untyped-call]
    return master


def _options(timeout_s: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": CONNECTIONS_MAX,
    }


def close(client: redis.Redis) -> None:
    """Of one that `connect` made, and what it asks the sentinels with."""
    client.close()
    if isinstance(client.connection_pool, SentinelConnectionPool):
        for sentinel in client.connection_pool.sentinel_manager.sentinels:
            sentinel.close()


def address_of(client: redis.Redis) -> str:
    """The address of its server; behind sentinels also the name of the service."""
    pool = client.connection_pool
    target = pool.connection_kwargs
    if isinstance(pool, SentinelConnectionPool):
        host, port = pool.master_address or ("unknown", 0)
        return f"{pool.service_name} ({host}:{port})"
    return str(target.get("path") or f"{target.get('host', 'localhost')}:{target.get('port', 6379)}")


class Nodes:
    """Not thread-safe: a Nodes for each thread. `refused` is told of each call that failed, and why."""

    def __init__(self, url: str, refused: Callable[[Refusal], None] = lambda refusal: None) -> None:
        self._url = url
        self._refused = refused
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
        close(self._first)
        if self._cluster is not None:
            self._cluster.close()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """No error of redis-py's leaves this block, but for NoScriptError: it is no trouble, only a reason to send it.

        Raises StoreUnavailable, also for an error that we do not know: it may pass, too.
        """
        try:
            yield
        except (redis.RedisError, redis.exceptions.RedisClusterException) as error:
            refusal = refusal_of(error)
            self._refused(refusal)
            if refusal is Refusal.NOSCRIPT:
                raise
            self._is_stale = True
            if refusal is Refusal.MOVED and self._cluster is None:
                # It has become a node of a cluster.
                self._asked = False
                self._of.clear()
            if refusal in _ELSEWHERE:
                # The name may lead to another server by now, but a connection that stands never would.
                self._first.connection_pool.disconnect(inuse_connections=False)
            said = "does not answer" if refusal in (Refusal.AWAY, Refusal.TIMEOUT) else f"refuses for now ({refusal})"
            # Behind it, redis-py shows each sentinel that it asked, in a thousand characters.
            raise StoreUnavailable(f"Redis {said}: {str(error).partition(' : <')[0]}", refusal) from error

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
            if refusal_of(error) not in (Refusal.OTHER, Refusal.NOPERM):
                raise
            return None
        return RedisCluster.from_url(self._url, **_options(CALL_TIMEOUT_S))

    @staticmethod
    def _master(cluster: RedisCluster, key: str) -> redis.Redis:
        node = cluster.get_node_from_key(key)  # type: ignore[no-untyped-call]
        if node is None:
            raise redis.exceptions.RedisClusterException(f"no master has {key}")
        return cluster.get_redis_connection(node)
