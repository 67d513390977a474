"""An LRU cache of groups, so that recently written groups need no load.

A stale entry does no harm: the commit compares the group's revision. `take` removes an entry, because the fold changes
it in place; it returns only after Redis acknowledged the commit.
"""

from collections import OrderedDict
from collections.abc import Mapping

from projector.project import Known

# About 3 kB each with two orders.
GROUPS_MAX = 20_000


class Cache:
    def __init__(self, groups_max: int = GROUPS_MAX) -> None:
        # Not a plain dict: finding its first key gets slower with each key taken from the front.
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._groups_max = groups_max

    def take(self, group_id: str) -> Known | None:
        return self._known.pop(group_id, None)

    def get(self, group_id: str) -> Known | None:
        return self._known.get(group_id)

    def __contains__(self, group_id: str) -> bool:
        return group_id in self._known

    def put(self, known: Mapping[str, Known]) -> None:
        self._known.update(known)
        for _ in range(len(self._known) - self._groups_max):
            self._known.popitem(last=False)

    def clear(self) -> None:
        self._known.clear()
