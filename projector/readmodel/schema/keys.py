"""The names of all keys of the read model in Redis. The table of docs/architecture.md has their types.

`og:{<generation>.<shard>}:...`: the braces are a Redis Cluster hash tag, so that all keys of one shard are in one slot
and one script can use them. `og:live`, outside of any shard, names the generation that is read.
"""

from hashlib import blake2b
from typing import Annotated

from msgspec import Meta, Struct

from projector.readmodel.schema.columns import SLICES

# The version of the read model: fold, record, row and indexes. Each version has generations of its own.
VERSION = 8

LIVE = "og:live"

# What lists can be sorted by: the columns, see columns.py. Only that of created_at has a sorted set, too.
SORT_FIELDS = tuple(SLICES)
# One sorted set for each value, scored by the group's created_at in milliseconds.
VALUE_FIELDS = (
    *("customer_id", "seller_id", "status", "sales_channel_id"),
    *("payment_status", "fulfillment_status", "currency_code"),
)
# Those whose values a list can count. Customers are too many, and each has few groups.
FACET_FIELDS = tuple(field for field in VALUE_FIELDS if field != "customer_id")

# Names without the shard's prefix.
CREATED = "by:created_at"
LISTED = "bits:all"
NUMBERED = "bits:has:display_id"


def slice_name(sort_field: str, k: int) -> str:
    return f"bits:by:{sort_field}:{k}"


def values_name(facet_field: str) -> str:
    return f"values:{facet_field}"


class Generation(Struct, frozen=True, omit_defaults=True):
    """A full set of keys. `version` is the version of the read model, of the code that wrote it.

    `personal_data`: whether it holds e-mail addresses and names, and the payload of parked records.

    `nonce` distinguishes generations of one number, as after Redis was cleared. With one nonce, equal positions mean
    equal content.
    """

    number: Annotated[int, Meta(ge=0)]
    shards: Annotated[int, Meta(ge=1)]
    version: int
    nonce: str = ""
    personal_data: bool = True

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
        "builders",
        "changed",
        "created",
        "discarded",
        "diverged",
        "end",
        "end_at",
        "last",
        "meta",
        "note",
        "ordinal",
        "ordinals",
        "parked",
        "position",
        "prefix",
        "record",
        "row",
        "stored",
        "tally",
        "text",
    )

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.meta = prefix + "meta"
        self.note = prefix + "note"
        self.ordinal = prefix + "ordinal"
        self.ordinals = prefix + "ordinals"
        self.record = prefix + "record"
        self.row = prefix + "row"
        self.text = prefix + "text"
        self.builders = prefix + "builders"
        self.changed = prefix + "changed"
        self.created = prefix + CREATED
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
        return self.prefix + LISTED

    @property
    def numbered(self) -> str:
        """The bitmap of the groups that have a display_id."""
        return self.prefix + NUMBERED

    def slices(self, sort_field: str) -> list[str]:
        """The bitmaps of a column, the lowest bit first. One that does not exist is all zero; most never do."""
        return [self.prefix + slice_name(sort_field, k) for k in range(SLICES[sort_field])]

    def of(self, value_field: str, value: str) -> str:
        return f"{self.prefix}of:{value_field}:{value}"

    def values(self, facet_field: str) -> str:
        """The values of the field, each with the number of its groups."""
        return self.prefix + values_name(facet_field)

    def bits_of(self, value_field: str, value: str) -> str:
        """The bitmap of the groups in `of(value_field, value)`, once these have been many."""
        return f"{self.prefix}bits:of:{value_field}:{value}"
