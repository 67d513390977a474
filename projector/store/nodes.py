"""Finds the server of a key: a stand-alone Redis, or a master of a cluster, which it detects."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from projector.errors import StoreUnavailable
from projector.readmodel.client.refusals import Refusal, refusal_of, text_of
from projector.readmodel.client.sentinels import sentinels

# Time limit of one call, in seconds. After it, the result of the call is unknown.
CALL_TIMEOUT_S = 2.0
# Time limit of a sentinel's answer, in seconds, before the next sentinel is tried.
SENTINEL_TIMEOUT_S = 0.5

# Per server. Each of up to 1024 shards may have a commit and a load in flight.
CONNECTIONS_MAX = 4096

# Refusals after which another server may be the master.
_ELSEWHERE = (Refusal.READONLY, Refusal.NOREPLICAS, Refusal.MASTERDOWN)

_WRITE_EVEN_IF_FULL = "#!lua flags=allow-oom\nreturn redis.call(unpack(ARGV))"


def connect(url: str) -> redis.Redis:
    """Returns a client; connects on first use. It never retries a call: only the caller knows what is safe to repeat.

    With sentinels, every new connection asks them for the master.
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
    """Closes a client of `connect`, and its clients of the sentinels."""
    client.close()
    if isinstance(client.connection_pool, SentinelConnectionPool):
        for sentinel in client.connection_pool.sentinel_manager.sentinels:
            sentinel.close()


def address_of(client: redis.Redis) -> str:
    """Returns the server's address; behind sentinels with the name of the service."""
    pool = client.connection_pool
    target = pool.connection_kwargs
    if isinstance(pool, SentinelConnectionPool):
        host, port = pool.master_address or ("unknown", 0)
        return f"{pool.service_name} ({host}:{port})"
    return str(target.get("path") or f"{target.get('host', 'localhost')}:{target.get('port', 6379)}")


class Nodes:
    """Not thread-safe: use one Nodes per thread. `refused` receives the reason of each failed call."""

    def __init__(self, url: str, refused: Callable[[Refusal], None] = lambda refusal: None) -> None:
        self._url = url
        self._refused = refused
        self._first = connect(url)
        self._is_detected = False
        self._cluster: RedisCluster | None = None
        self._is_stale = False
        self._of: dict[str, redis.Redis] = {}

    def of(self, key: str) -> redis.Redis:
        """Returns the client of the key's server. Raises StoreUnavailable."""
        cluster = self._topology()
        found = self._of.get(key)
        if found is None:
            found = self._first if cluster is None else self._master(cluster, key)
            self._of[key] = found
        return found

    def write_even_if_full(self, key: str, *command: str | bytes | int) -> None:
        """Runs a small write, even at maxmemory: freeing memory takes such writes. Raises StoreUnavailable."""
        with self.errors():
            self.of(key).eval(_WRITE_EVEN_IF_FULL, 1, key, *command)

    def all(self) -> list[redis.Redis]:
        """Returns the clients of all masters. Raises StoreUnavailable."""
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
        """Turns errors of redis-py into StoreUnavailable, even unknown ones, which may be temporary as well.

        NoScriptError passes: the caller loads the script then.
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
                # The server has become a node of a cluster.
                self._is_detected = False
                self._of.clear()
            if refusal in _ELSEWHERE:
                # The host name may resolve to another server now; open connections would stay with the old one.
                self._first.connection_pool.disconnect(inuse_connections=False)
            how = "does not answer" if refusal in (Refusal.AWAY, Refusal.TIMEOUT) else f"refuses for now ({refusal})"
            # What follows ' : <' lists the sentinels that redis-py tried, in a thousand characters.
            raise StoreUnavailable(f"Redis {how}: {text_of(error).partition(' : <')[0]}", refusal) from error

    def _topology(self) -> RedisCluster | None:
        """Returns None for a stand-alone server. Reads a cluster's slots again after an error of any node."""
        with self.errors():
            if not self._is_detected:
                self._cluster = self._detect()
                self._is_detected = True
            elif self._is_stale and self._cluster is not None:
                self._cluster.nodes_manager.initialize()
                self._of.clear()
            self._is_stale = False
        return self._cluster

    def _detect(self) -> RedisCluster | None:
        try:
            self._first.execute_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]
        except redis.ResponseError as error:
            # Cluster mode is off, or our user may not know: treat it as a stand-alone server.
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
