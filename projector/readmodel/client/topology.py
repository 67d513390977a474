"""The slots of each node of a Redis Cluster, parsed from `CLUSTER SLOTS`. Pure."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec import Struct

Address = tuple[str, int]


class Topology(Struct, frozen=True):
    """`starts`: the first slot of each range, ascending; `owners`: its master, None if it has none.

    `nodes`: masters, then replicas: candidates for the next CLUSTER SLOTS.
    """

    starts: tuple[int, ...]
    owners: tuple[Address | None, ...]
    nodes: tuple[Address, ...]

    def owner(self, slot: int) -> Address | None:
        return self.owners[bisect_right(self.starts, slot) - 1]


class _Range(NamedTuple):
    first: int
    last: int
    nodes: list[Address]


def topology(reply: Sequence[Any], source: str) -> Topology:
    """Parses the reply. `source`: the host that answered, for nodes without a name in the reply."""
    ranges = sorted(
        _Range(first, last, [_address(node, source) for node in nodes]) for first, last, *nodes in reply if nodes
    )
    starts, owners = [0], [None]
    for first, last, nodes in ranges:
        starts += [first, last + 1]
        owners += [nodes[0], None]  # type: ignore[list-item]
    masters = [nodes[0] for _, _, nodes in ranges]
    replicas = [node for _, _, nodes in ranges for node in nodes[1:]]
    return Topology(tuple(starts), tuple(owners), tuple(dict.fromkeys([*masters, *replicas])))


def _address(node: Sequence[Any], source: str) -> Address:
    """Returns preferred name and port; alternative names follow them in the reply."""
    host, port, *_ = node
    return named(host.decode() if host else "", source), port


def named(host: str, source: str) -> str:
    """Returns the host to connect to. `host`: as in a reply of `source`; without a name it means `source` itself."""
    # A question mark: cluster-preferred-endpoint-type is hostname, but the node has none configured.
    return source if host in ("", "?") else host
