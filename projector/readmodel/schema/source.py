"""The state of a relay, which stores it for the API: what waits in a shop's database is not in the log yet."""

from msgspec import Struct

SOURCE = "{og:live}:source"

# How long it is kept after a relay has stored it last, in milliseconds. Its age follows from the time that is left.
KEPT_MS = 24 * 60 * 60 * 1000


class Source(Struct, frozen=True):
    """`notes`, `bulk_notes`: how many wait. `oldest_s`: age of the oldest that is not bulk work, in seconds.

    `problems`: why events are late, or changes may be missing.
    """

    mapping: str
    notes: int
    bulk_notes: int
    oldest_s: float
    problems: tuple[str, ...]
