"""Entity tags (RFC 9110). Pure."""

from collections.abc import Sequence
from hashlib import blake2b
from importlib.metadata import version

from projector.readmodel.query.positions import Snapshot

# Bytes of the digest: two versions of one URL collide after about 2^48 versions.
DIGEST_BYTES = 12
# Part of the tag: another release may render the same answer in other bytes.
_RELEASE = version("order-group-projector").encode()


def etag(snapshot: Snapshot, target: bytes) -> str:
    """Returns a strong tag. `target`: path and query as sent; another spelling of one query gets another tag."""
    content = b"\n".join((_RELEASE, snapshot.content, target))
    return f'"{blake2b(content, digest_size=DIGEST_BYTES).hexdigest()}"'


def is_wildcard(if_none_match: Sequence[bytes]) -> bool:
    return any(value.strip(b" \t") == b"*" for value in if_none_match)


def matches(if_none_match: Sequence[bytes], tag: str) -> bool:
    """Compares weakly, as RFC 9110 demands for GET. A tag contains no comma or quote, so a substring test is exact."""
    return any(tag.encode() in value for value in if_none_match) or is_wildcard(if_none_match)
