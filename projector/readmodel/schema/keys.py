"""The names of everything the read model keeps in Redis. docs/architecture.md has the table with the types.

`og:{<generation>.<shard>}:...`: the braces are a Redis Cluster hash tag, so that all keys of one shard lie
in one slot and one script may touch them together. `og:live` stands outside: it says which generation
readers use.
"""

from hashlib import blake2b
from typing import Annotated

from msgspec import Meta, Struct

LIVE = "og:live"

# One sorted set each, scored by the field; `id` has score 0 throughout, so its order is the byte order of ids.
SORT_FIELDS = ("created_at", "updated_at", "total", "seller_count", "display_id", "id")
# Bits of a bucket, one bitmap each: see buckets.lua, also for the bits of ids.
SLICES = {"created_at": 49, "updated_at": 49, "total": 44, "seller_count": 10, "display_id": 53}
ID_SLICES = 256
# One sorted set for each value, scored by the group's created_at in milliseconds.
VALUE_FIELDS = ("customer_id", "seller_id", "status", "sales_channel_id")

# Groups whose lines are looked through together: see lines.lua.
LINES = 128


class Generation(Struct, frozen=True):
    """A full set of keys. `version` is that of the code that wrote it (document, fold and indexes).

    `nonce` tells two generations of one number apart: Redis may have been cleared, and the log be another. Of one
    nonce, equal positions mean equal content.
    """

    number: Annotated[int, Meta(ge=0)]
    shards: Annotated[int, Meta(ge=1)]
    version: int
    nonce: str = ""

    def keys(self, shard: int) -> "Keys":
        return Keys(f"og:{{{self.number}.{shard}}}:")

    def shard_of(self, group_id: str) -> int:
        """Stable over processes and versions of Python, unlike `hash`."""
        if self.shards == 1:
            return 0
        return int.from_bytes(blake2b(group_id.encode(), digest_size=8).digest(), "big") % self.shards


class Keys:
    """The key names of one shard."""

    __slots__ = (
        "discarded",
        "diverged",
        "edited",
        "end",
        "end_at",
        "last",
        "meta",
        "note",
        "ordinal",
        "parked",
        "position",
        "prefix",
        "rest",
        "row",
        "state",
        "stored",
        "tally",
        "text",
    )

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.meta = prefix + "meta"
        self.note = prefix + "note"
        self.row = prefix + "row"
        self.rest = prefix + "rest"
        self.state = prefix + "state"
        self.text = prefix + "text"
        self.edited = prefix + "edited"
        self.ordinal = prefix + "ordinal"
        self.position = prefix + "position"
        self.last = prefix + "last"
        self.end = prefix + "end"
        self.end_at = prefix + "end_at"
        self.diverged = prefix + "diverged"
        self.tally = prefix + "tally"
        self.parked = prefix + "parked"
        self.discarded = prefix + "discarded"
        # Not a key but a channel.
        self.stored = prefix + "stored"

    @property
    def absent(self) -> str:
        """A key that never exists. While the slot of the shard migrates, a Redis Cluster refuses to run a script that
        declares it: keys that the script does not declare could lie on the other node.
        """
        return self.prefix + "absent"

    @property
    def listed(self) -> str:
        """The bitmap of the listed groups; each slice has about its size."""
        return self.prefix + "bits:all"

    @property
    def id_slices(self) -> list[str]:
        """Most of them are not there: ids begin alike, and never differ in some bits of a byte."""
        return [f"{self.prefix}bits:by:id:{k}" for k in range(ID_SLICES)]

    def by(self, sort_field: str) -> str:
        return f"{self.prefix}by:{sort_field}"

    def of(self, value_field: str, value: str) -> str:
        return f"{self.prefix}of:{value_field}:{value}"
