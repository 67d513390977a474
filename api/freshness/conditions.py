"""Conditions of a request, X-Min-Position and If-None-Match, and the headers of its answer. Pure."""

from collections.abc import Iterable

from msgspec import Struct

from api.freshness.etag import etag, is_wildcard, matches
from api.freshness.positions import HEADER, MIN_HEADER, parse_min_position
from projector.readmodel.query.positions import Positions, Snapshot

_IF_NONE_MATCH = b"if-none-match"
_MIN_POSITION = MIN_HEADER.lower().encode()


class Conditions(Struct, frozen=True):
    """`target`: path and query as sent. `minimum`: positions that the answer must reflect."""

    target: bytes
    minimum: Positions
    if_none_match: tuple[bytes, ...]

    @property
    def is_wildcard(self) -> bool:
        """Whether If-None-Match is `*`, which matches any answer but 404."""
        return is_wildcard(self.if_none_match)

    def match(self, snapshot: Snapshot) -> bool:
        """Whether the client has the answer from that snapshot already."""
        return matches(self.if_none_match, etag(snapshot, self.target))

    def headers(self, snapshot: Snapshot) -> dict[str, str]:
        """Returns the headers of a 200 or a 304."""
        return {
            "ETag": etag(snapshot, self.target),
            HEADER: snapshot.text,
            # Cached by this client only, and revalidated at each use.
            "Cache-Control": "private, no-cache",
            "Vary": "Authorization",
        }


def parse_conditions(target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Conditions:
    """`headers` have lower-case names, as in ASGI. Raises InvalidRequest."""
    minimum, if_none_match = [], []
    for name, value in headers:
        if name == _MIN_POSITION:
            minimum.append(value)
        elif name == _IF_NONE_MATCH:
            if_none_match.append(value)
    return Conditions(target, parse_min_position(minimum) if minimum else {}, tuple(if_none_match))
