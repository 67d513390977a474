"""Decides which connections stay open when there are too many. Pure.

A connection is *authenticated* once it has carried a request with valid credentials, *anonymous* until then. At the
maximum, a new connection replaces the oldest anonymous one that is not being answered. If there is none, it becomes a
*spare* one: only paths that need no credentials are answered on it, so that health checks of a busy API still work.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from ipaddress import IPv6Address
from typing import Protocol

from api.http import limits
from api.http.limits import Refusal

# Bytes of an IPv6 address that are counted as one address: a customer usually has a whole /64 network.
_NETWORK_BYTES = 8


class Connection(Protocol):
    @property
    def is_answering(self) -> bool:
        """Whether a request on it is being answered."""

    def evict(self) -> None:
        """Closes it immediately, without an answer."""


class Connections:
    """At most `maximum` connections and `spare` more, and at most `per_address` from one address (0: no limit).

    `streams` returns the number of open streams, which have a limit of their own: they come on top of `maximum`.
    """

    def __init__(
        self,
        maximum: int,
        spare: int = limits.SPARE_CONNECTIONS,
        per_address: int = limits.CONNECTIONS_PER_ADDRESS_MAX,
        streams: Callable[[], int] = lambda: 0,
    ) -> None:
        self._maximum = maximum
        self._streams = streams
        self._spare_maximum = spare
        self._per_address = per_address
        # Each in the order of arrival.
        self._anonymous: dict[Connection, None] = {}
        self._authenticated: dict[Connection, None] = {}
        self._spare: dict[Connection, None] = {}
        self._addresses: dict[Connection, str | bytes] = {}
        self._of_address: Counter[str | bytes] = Counter()

    def add(self, connection: Connection, address: str) -> Refusal | None:
        """Returns why the connection is refused, None if it is not. May close another one for it."""
        if self._per_address and not self._count(connection, address):
            return limits.TOO_MANY_OF_ADDRESS
        if self._has_room() or self._evict(self._anonymous):
            self._anonymous[connection] = None
        elif len(self._spare) < self._spare_maximum or self._evict(self._spare):
            self._spare[connection] = None
        else:
            return limits.TOO_MANY_CONNECTIONS
        return None

    def is_spare(self, connection: Connection) -> bool:
        return connection in self._spare

    def mark_authenticated(self, connection: Connection) -> None:
        if connection in self._anonymous:
            del self._anonymous[connection]
            self._authenticated[connection] = None

    def remove(self, connection: Connection) -> None:
        """May be called at any time, and more than once. The oldest spare connection becomes an anonymous one."""
        self._drop(connection)
        if self._spare and self._has_room():
            oldest = next(iter(self._spare))
            del self._spare[oldest]
            self._anonymous[oldest] = None

    def _has_room(self) -> bool:
        return len(self._anonymous) + len(self._authenticated) < self._maximum + self._streams()

    def _evict(self, candidates: Iterable[Connection]) -> bool:
        """Closes the first that is not being answered. Returns whether there was one."""
        found = next((connection for connection in candidates if not connection.is_answering), None)
        if found is None:
            return False
        self._drop(found)
        found.evict()
        return True

    def _drop(self, connection: Connection) -> None:
        for group in (self._anonymous, self._authenticated, self._spare):
            group.pop(connection, None)
        address = self._addresses.pop(connection, None)
        if address is not None:
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]

    def _count(self, connection: Connection, address: str) -> bool:
        """Returns False where the address has its maximum."""
        counted = _counted_as(address)
        if self._of_address[counted] >= self._per_address:
            return False
        self._of_address[counted] += 1
        self._addresses[connection] = counted
        return True


def _counted_as(address: str) -> str | bytes:
    return IPv6Address(address).packed[:_NETWORK_BYTES] if ":" in address else address
