"""The tally: how many records of each partition had which result."""

from collections.abc import Iterable, Mapping
from enum import StrEnum


class Fate(StrEnum):
    """The result of a record. In every partition, the five counts sum up to the records received.

    DISCARDED was PARKED until an operator discarded it.
    """

    APPLIED = "applied"
    STALE = "stale"
    PASSED_OVER = "passed_over"
    PARKED = "parked"
    DISCARDED = "discarded"


# Names in the tally beside the fates: all records; bytes of a partition's parked records, as counted against the limit.
RECEIVED = "received"
PARKED_BYTES = "parked_bytes"

# A hash: type of an event -> position of the first one that was passed over.
PASSED_OVER_TYPES = "{og:live}:passed_over"

COUNTS = (RECEIVED, *Fate, PARKED_BYTES)


def summed(shards: Iterable[Mapping[bytes, bytes]]) -> dict[str, int]:
    """Returns `<topic>/<partition>:<name>` -> number, over the tallies of all shards."""
    tally: dict[str, int] = {}
    for found in shards:
        for raw, records in found.items():
            name = raw.decode()
            tally[name] = tally.get(name, 0) + int(records)
    return tally


def counts(tally: Mapping[str, int], partition: str) -> dict[str, int]:
    """Returns the number of each name in COUNTS."""
    return {name: tally.get(f"{partition}:{name}", 0) for name in COUNTS}
