"""REDIS_URL where sentinels know who is master.

    redis+sentinel://[user:password@]host[:port][,host2[:port2]...]/service[/db][?option=value]

as other clients of Redis write it; rediss+sentinel:// for TLS to all of them. User and password are for Redis,
`sentinel_username` and `sentinel_password` among the options for the sentinels; the other options are redis-py's own.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode

from msgspec import Struct
from redis.connection import parse_url

PORT = 26379
_SCHEMES = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
_OURS = {"sentinel_username": "username", "sentinel_password": "password"}


class Sentinels(Struct, frozen=True):
    """`target`, `sentinel`: how Redis, and how a sentinel, is reached, as redis-py takes it, but for host and port."""

    hosts: list[tuple[str, int]]
    service: str
    target: Mapping[str, Any]
    sentinel: Mapping[str, Any]


def sentinels(url: str) -> Sentinels | None:
    """None for a URL of another kind. Raises ValueError."""
    scheme, _, rest = url.partition("://")
    plain = _SCHEMES.get(scheme.lower())
    if plain is None:
        return None
    rest, _, query = rest.partition("?")
    place, _, path = rest.partition("/")
    login, at, hosts = place.rpartition("@")
    service, _, db = path.partition("/")
    if not service or not hosts:
        raise ValueError("expected hosts and a service")
    options = dict(parse_qsl(query))
    ours = {_OURS[name]: options.pop(name) for name in _OURS if name in options}
    # A host that is never asked: with it the URL is one that redis-py reads.
    read = SplitResult(plain, f"{login}{at}unknown", f"/{db}", urlencode(options), "").geturl()
    target: dict[str, Any] = dict(parse_url(read))  # type: ignore[no-untyped-call]
    del target["host"]
    tls = {name: value for name, value in target.items() if name.startswith("ssl_")}
    if target.pop("connection_class", None) is not None:
        target["ssl"] = tls["ssl"] = True
    return Sentinels([_address(host) for host in hosts.split(",")], service, target, {**tls, **ours})


def check(url: str) -> None:
    """Raises ValueError for a REDIS_URL of no known kind."""
    if sentinels(url) is None:
        parse_url(url)  # type: ignore[no-untyped-call]


def _address(text: str) -> tuple[str, int]:
    """`host`, `host:port`, `[::1]:port`. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(PORT)
    if not host.strip("[]"):
        raise ValueError("expected a host")
    return host.strip("[]"), int(port)
