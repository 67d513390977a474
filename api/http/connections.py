"""Which connections stay open when there are too many. Pure.

A connection is *known* once it has carried a request with credentials. When all places are taken, the oldest connection
that is not known, and has no answer under way, is closed for the new one. When known connections hold all places, some
spare places remain. Only the paths that are open to all are answered there: an orchestrator must not take a busy API
for a dead one.
"""

from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv6Address
from typing import Protocol

from api.http import limits
from api.http.limits import Refusal

# Bytes of an IPv6 address that name the network. A customer gets a whole network: its addresses count as one.
_NETWORK_BYTES = 8


class Connection(Protocol):
    @property
    def is_answering(self) -> bool:
        """Whether a request on it waits for its answer."""

    def give_way(self) -> None:
        """Closes at once, without an answer."""


class Connections:
    """At most `most` connections, and `spare` more. `per_address`: of them from one address; 0: no limit of its own."""

    def __init__(
        self, most: int, spare: int = limits.SPARE_CONNECTIONS, per_address: int = limits.CONNECTIONS_PER_ADDRESS_MAX
    ) -> None:
        self._most = most
        self._spare_most = spare
        self._per_address = per_address
        # In the order in which they came.
        self._unknown: dict[Connection, None] = {}
        self._known: dict[Connection, None] = {}
        self._spare: dict[Connection, None] = {}
        self._addresses: dict[Connection, str | bytes] = {}
        self._of_address: Counter[str | bytes] = Counter()

    def enter(self, one: Connection, address: str) -> Refusal | None:
        """Returns why it is refused; None if it may stay. Another one may have been closed for it."""
        if self._per_address and not self._note(one, address):
            return limits.TOO_MANY_OF_ADDRESS
        if len(self._unknown) + len(self._known) < self._most or self._make_room(self._unknown):
            self._unknown[one] = None
        elif len(self._spare) < self._spare_most or self._make_room(self._spare):
            self._spare[one] = None
        else:
            return limits.TOO_MANY_CONNECTIONS
        return None

    def is_spare(self, one: Connection) -> bool:
        return one in self._spare

    def know(self, one: Connection) -> None:
        """A request with credentials came on it."""
        if one in self._unknown:
            del self._unknown[one]
            self._known[one] = None

    def leave(self, one: Connection) -> None:
        """May be called at any time, and more than once. The oldest spare connection gets the free place."""
        self._drop(one)
        if self._spare and len(self._unknown) + len(self._known) < self._most:
            oldest = next(iter(self._spare))
            del self._spare[oldest]
            self._unknown[oldest] = None

    def _make_room(self, among: Iterable[Connection]) -> bool:
        found = next((one for one in among if not one.is_answering), None)
        if found is None:
            return False
        self._drop(found)
        found.give_way()
        return True

    def _drop(self, one: Connection) -> None:
        for some in (self._unknown, self._known, self._spare):
            some.pop(one, None)
        address = self._addresses.pop(one, None)
        if address is not None:
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]

    def _note(self, one: Connection, address: str) -> bool:
        counted = _counted(address)
        if self._of_address[counted] >= self._per_address:
            return False
        self._of_address[counted] += 1
        self._addresses[one] = counted
        return True


def _counted(address: str) -> str | bytes:
    return IPv6Address(address).packed[:_NETWORK_BYTES] if ":" in address else address
