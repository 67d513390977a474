"""Connections to one server, or to whichever the sentinels say is master: each new one asks them."""

from collections.abc import Mapping
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff

from projector.readmodel.client.sentinels import Sentinels, sentinels

# How much of a request's time a sentinel may take to answer, before the next one is asked.
SENTINEL_SHARE = 0.2

# In a target, beside what redis-py takes.
_SENTINELS = "sentinels"


def target_of(redis_url: str) -> dict[str, Any]:
    """Where the server is, and how to get in."""
    found = sentinels(redis_url)
    return {_SENTINELS: found, **found.target} if found else dict(parse_url(redis_url))


def node_of(target: Mapping[str, Any]) -> dict[str, Any]:
    """How the nodes of a cluster are reached: it has one database, and they tell hosts and ports."""
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
    """Sends PING first: a server that refuses connections answers that, but may just hang up on a long command."""
    await connection.on_connect()
    await connection.send_command("PING")
    await connection.read_response()


async def close(made: ConnectionPool) -> None:
    await made.aclose()
    if isinstance(made, SentinelConnectionPool):
        await made.sentinel_manager.aclose()
