"""A sample of the groups: chosen by their ids alone, so each run compares the same groups."""

from collections.abc import Iterable
from hashlib import blake2b

# A key, so that the sample is independent of the shard, which is a hash of the id as well.
_KEY = b"sample"


class Sample:
    """`share`: fraction of all groups, above 0 and up to 1."""

    __slots__ = ("_below", "share")

    def __init__(self, share: float) -> None:
        self.share = share
        self._below = int(share * 2**64)

    @property
    def is_all(self) -> bool:
        return self.share == 1

    def __contains__(self, group_id: str) -> bool:
        if self.is_all:
            return True
        hashed = blake2b(group_id.encode(), digest_size=8, key=_KEY).digest()
        return int.from_bytes(hashed, "big") < self._below

    def of(self, ids: Iterable[str]) -> list[str]:
        return [group_id for group_id in ids if group_id in self]


ALL = Sample(1.0)
