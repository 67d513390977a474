"""REDIS_URL with sentinels.

    redis+sentinel://[user:password@]host[:port][,host2[:port2]...]/service[/db][?option=value]

rediss+sentinel:// uses TLS to Redis and sentinels. User and password are for Redis, the options `sentinel_username` and
`sentinel_password` for the sentinels; the other options are those of redis-py.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode

from msgspec import Struct
from redis.connection import ConnectionPool, parse_url

PORT = 26379
_SCHEMES = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
_SENTINEL_OPTIONS = {"sentinel_username": "username", "sentinel_password": "password"}


class Sentinels(Struct, frozen=True):
    """`target`, `sentinel`: connection parameters of redis-py for Redis and for a sentinel, without host and port."""

    hosts: list[tuple[str, int]]
    service: str
    target: Mapping[str, Any]
    sentinel: Mapping[str, Any]


def sentinels(url: str) -> Sentinels | None:
    """Parses a REDIS_URL. Returns None if its scheme is another one. Raises ValueError."""
    scheme, _, rest = url.partition("://")
    plain = _SCHEMES.get(scheme.lower())
    if plain is None:
        return None
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    login, at, hosts = authority.rpartition("@")
    service, _, db = path.partition("/")
    if not service or not hosts:
        raise ValueError("expected hosts and a service")
    options = dict(parse_qsl(query))
    sentinel = {_SENTINEL_OPTIONS[name]: options.pop(name) for name in _SENTINEL_OPTIONS if name in options}
    # The host is a placeholder, so that redis-py can parse the URL.
    plain_url = SplitResult(plain, f"{login}{at}unknown", f"/{db}", urlencode(options), "").geturl()
    target: dict[str, Any] = dict(parse_url(plain_url))  # type: ignore[no-untyped-call]
    del target["host"]
    tls = {name: value for name, value in target.items() if name.startswith("ssl_")}
    if target.pop("connection_class", None) is not None:
        target["ssl"] = tls["ssl"] = True
    return Sentinels([_address(host) for host in hosts.split(",")], service, target, {**tls, **sentinel})


def check(url: str) -> None:
    """Raises ValueError for an invalid REDIS_URL."""
    if sentinels(url) is None:
        try:
            # It does not connect, but refuses options that it does not know.
            ConnectionPool.from_url(url).make_connection()
        except TypeError as error:
            raise ValueError(str(error)) from error


def _address(text: str) -> tuple[str, int]:
    """Parses `host`, `host:port` or `[::1]:port`. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(PORT)
    if not host.strip("[]"):
        raise ValueError("expected a host")
    return host.strip("[]"), int(port)
