"""How fresh a client wants its answer, what it has already, and the headers that tell what it gets. Pure."""

from collections.abc import Iterable

from msgspec import Struct

from api.freshness.etag import etag, is_wildcard, matches
from api.freshness.positions import HEADER, MIN_HEADER, wanted
from api.params.query import InvalidRequest
from projector.readmodel.query.positions import Instant, Positions

_IF_NONE_MATCH = b"if-none-match"
_MIN_POSITION = MIN_HEADER.lower().encode()


class Conditions(Struct, frozen=True):
    """`target`: path and query as they came. `minimum`: what to reflect. `known`: the If-None-Match headers."""

    target: bytes
    minimum: Positions
    known: tuple[bytes, ...]

    @property
    def any_will_do(self) -> bool:
        """`If-None-Match: *`: no answer is wanted if there would be one at all."""
        return is_wildcard(self.known)

    def met_by(self, instant: Instant) -> bool:
        """Whether the client has the answer of that instant."""
        return matches(self.known, etag(instant, self.target))

    def headers(self, instant: Instant) -> dict[str, str]:
        """Of a 200, and of a 304."""
        return {
            "ETag": etag(instant, self.target),
            HEADER: instant.text,
            # To be kept by this client alone, and to be asked for again each time.
            "Cache-Control": "private, no-cache",
            "Vary": "Authorization",
        }


def conditions(target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Conditions | InvalidRequest:
    """`headers`: with names in lower case, as ASGI has them."""
    minimum, known = [], []
    for name, value in headers:
        if name == _MIN_POSITION:
            minimum.append(value)
        elif name == _IF_NONE_MATCH:
            known.append(value)
    positions = wanted(minimum) if minimum else {}
    return positions if isinstance(positions, InvalidRequest) else Conditions(target, positions, tuple(known))
