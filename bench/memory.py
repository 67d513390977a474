"""The memory of a group, by purpose."""

from collections import Counter
from itertools import islice
from typing import cast

import redis

# First word of a key, after the prefix of the shard -> purpose.
_PURPOSES = {
    "row": "rows",
    "record": "records",
    "text": "text for q",
    "by": "sorts",
    "ordinal": "ids",
    "ordinals": "ids",
    "changed": "changes",
    "of": "filters",
    "bits": "bitmaps",
}
_KEYS = 1_000
# Members of a key that MEMORY USAGE samples.
_SAMPLES = 1_000


def bytes_of_group(client: "redis.Redis", groups: int) -> dict[str, float]:
    """Purpose -> bytes in Redis per group, estimated by MEMORY USAGE."""
    sizes: Counter[str] = Counter()
    found = client.scan_iter(match="og:{*}:*", count=_KEYS)
    while keys := list(islice(found, _KEYS)):
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.memory_usage(key, samples=_SAMPLES)
        for key, size in zip(keys, pipeline.execute(), strict=True):
            name = key.decode(errors="replace").split("}:", 1)[1]
            sizes[_PURPOSES.get(name.split(":")[0], "the rest")] += cast(int, size)
    return {purpose: round(size / groups, 1) for purpose, size in sizes.most_common()}
