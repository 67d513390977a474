"""What the memory of a group goes into."""

from collections import Counter
from itertools import islice
from typing import cast

import redis

# Keys of a shard, without its prefix and up to the first colon -> what they are for.
_PURPOSES = {
    "row": "documents",
    "rest": "documents",
    "state": "state of the fold",
    "text": "text for q",
    "by": "sorts",
    "ordinal": "sorts",
    "of": "filters",
    "bits": "bitmaps",
}
_KEYS = 1_000
# Members of which the size is looked at, of one key.
_SAMPLES = 1_000


def bytes_of_group(client: "redis.Redis", groups: int) -> dict[str, float]:
    """Purpose -> bytes of Redis' memory for a group, by MEMORY USAGE, which of a large key looks at some members."""
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
