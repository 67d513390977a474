"""Groups as Redis has them, to spare loading what was just written. Least recently used go first.

A stale entry does no harm: the commit compares the group's revision. Entries are taken out to be merged into,
and put back only when the commit is acknowledged.
"""

from collections.abc import Mapping

from projector.project import Known

# About 3 kB each with two orders.
GROUPS_MAX = 20_000


class Cache:
    def __init__(self, groups_max: int = GROUPS_MAX) -> None:
        self._known: dict[str, Known] = {}
        self._groups_max = groups_max

    def take(self, group_id: str) -> Known | None:
        return self._known.pop(group_id, None)

    def put(self, known: Mapping[str, Known]) -> None:
        self._known.update(known)
        for _ in range(len(self._known) - self._groups_max):
            del self._known[next(iter(self._known))]

    def clear(self) -> None:
        self._known.clear()
