"""The names of all keys of the read model in Redis. The table of docs/architecture.md has their types.

`og:{<generation>.<shard>}:...`: the braces are a Redis Cluster hash tag, so that all keys of one shard are in one slot
and one script can use them. `og:live`, outside of any shard, names the generation that is read.
"""

from hashlib import blake2b
from typing import Annotated

from msgspec import Meta, Struct

LIVE = "og:live"

# One sorted set each, scored by the field. All scores of `id` are 0, so its order is the byte order of ids.
SORT_FIELDS = ("created_at", "updated_at", "total", "seller_count", "display_id", "id")
# Bit slices of each field, one bitmap each: see buckets.lua, also for those of ids.
SLICES = {"created_at": 49, "updated_at": 49, "total": 44, "seller_count": 10, "display_id": 53}
ID_SLICES = 256
# One sorted set for each value, scored by the group's created_at in milliseconds.
VALUE_FIELDS = ("customer_id", "seller_id", "status", "sales_channel_id")

# Lines in one chunk of text: see lines.lua.
LINES = 128


class Generation(Struct, frozen=True):
    """A full set of keys. `version` is the version of the read model, of the code that wrote it.

    `nonce` distinguishes generations of one number, as after Redis was cleared. With one nonce, equal positions mean
    equal content.
    """

    number: Annotated[int, Meta(ge=0)]
    shards: Annotated[int, Meta(ge=1)]
    version: int
    nonce: str = ""

    def keys(self, shard: int) -> "Keys":
        return Keys(f"og:{{{self.number}.{shard}}}:")

    def shard_of(self, group_id: str) -> int:
        """Returns the shard of a group. Unlike `hash`, it is the same in all processes and versions of Python."""
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
        # A channel, not a key.
        self.stored = prefix + "stored"

    @property
    def absent(self) -> str:
        """A key that never exists, declared by every script. So a Redis Cluster refuses the script while the slot of
        the shard migrates: undeclared keys could be on the other node.
        """
        return self.prefix + "absent"

    @property
    def listed(self) -> str:
        """The bitmap of the listed groups; each slice is about as large."""
        return self.prefix + "bits:all"

    @property
    def id_slices(self) -> list[str]:
        """Most do not exist: ids have a common prefix, and some bits of a byte never differ."""
        return [f"{self.prefix}bits:by:id:{k}" for k in range(ID_SLICES)]

    def by(self, sort_field: str) -> str:
        return f"{self.prefix}by:{sort_field}"

    def of(self, value_field: str, value: str) -> str:
        return f"{self.prefix}of:{value_field}:{value}"
