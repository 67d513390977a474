"""Validators: what makes an answer the same as one that a client has already (RFC 9110). Pure."""

from collections.abc import Sequence
from hashlib import blake2b
from importlib.metadata import version

from projector.readmodel.query.positions import Instant

# Bytes of the digest: two answers of one URL are taken for each other once in 2^48 versions or so.
DIGEST_BYTES = 12
# Another release may write the same answer in other bytes.
_RELEASE = version("order-group-projector").encode()


def etag(instant: Instant, target: bytes) -> str:
    """Strong. `target`: path and query as they came; two spellings of one query only cost a 304."""
    told = b"\n".join((_RELEASE, instant.content, target))
    return f'"{blake2b(told, digest_size=DIGEST_BYTES).hexdigest()}"'


def is_wildcard(if_none_match: Sequence[bytes]) -> bool:
    return any(value.strip(b" \t") == b"*" for value in if_none_match)


def matches(if_none_match: Sequence[bytes], tag: str) -> bool:
    """The weak comparison, as RFC 9110 has it for GET. A tag holds no comma and no quote: looking for it is exact."""
    return any(tag.encode() in value for value in if_none_match) or is_wildcard(if_none_match)
