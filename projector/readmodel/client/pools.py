"""Connection pools of one server, or of the master that sentinels name at each new connection."""

from collections.abc import Mapping
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff

from projector.readmodel.client.sentinels import Sentinels, sentinels

# Share of a request's time that a sentinel gets to answer, before the next one is tried.
SENTINEL_SHARE = 0.2

# A key of targets that redis-py does not know.
_SENTINELS = "sentinels"


def target_of(redis_url: str) -> dict[str, Any]:
    """Returns the connection parameters of a REDIS_URL. Raises ValueError."""
    found = sentinels(redis_url)
    return {_SENTINELS: found, **found.target} if found else dict(parse_url(redis_url))


def node_of(target: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters for nodes of a cluster, which has one database, and redirects to hosts and ports."""
    return {name: value for name, value in target.items() if name not in ("db", "path", _SENTINELS)}


def pool(target: Mapping[str, Any], wait_s: float, connections_max: int) -> ConnectionPool:
    options: dict[str, Any] = {
        "max_connections": connections_max,
        "socket_connect_timeout": wait_s,
        "socket_timeout": None,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "redis_connect_func": _greet,
    }
    found: Sentinels | None = target.get(_SENTINELS)
    if found is None:
        return ConnectionPool(**target, **options)
    sentinel_s = wait_s * SENTINEL_SHARE
    asking = {"socket_timeout": sentinel_s, "socket_connect_timeout": sentinel_s, "retry": Retry(NoBackoff(), 0)}
    manager = Sentinel(found.hosts, sentinel_kwargs={**found.sentinel, **asking})  # type: ignore[no-untyped-call]
    made: ConnectionPool = SentinelConnectionPool(found.service, manager, **found.target, **options)  # type: ignore[no-untyped-call]
    return made


async def _greet(connection: AbstractConnection) -> None:
    """Sends PING first: a server that refuses connections answers it, but may hang up on a long command."""
    await connection.on_connect()
    await connection.send_command("PING")
    await connection.read_response()


async def close(made: ConnectionPool) -> None:
    await made.aclose()
    if isinstance(made, SentinelConnectionPool):
        await made.sentinel_manager.aclose()
