"""Which node of a Redis Cluster has which slots, as `CLUSTER SLOTS` tells it. Pure."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec import Struct

Address = tuple[str, int]


class Topology(Struct, frozen=True):
    """`starts`: the first slots of ranges, ascending; `owners`: the master of each, None where nobody has it.

    `nodes`: masters, then replicas: whom to ask for the next one.
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


def topology(reply: Sequence[Any], asked: str) -> Topology:
    """`asked`: the host that answered, which a node that does not know its own name leaves out."""
    ranges = sorted(
        _Range(first, last, [_address(node, asked) for node in nodes]) for first, last, *nodes in reply if nodes
    )
    starts, owners = [0], [None]
    for first, last, nodes in ranges:
        starts += [first, last + 1]
        owners += [nodes[0], None]  # type: ignore[list-item]
    masters = [nodes[0] for _, _, nodes in ranges]
    replicas = [node for _, _, nodes in ranges for node in nodes[1:]]
    return Topology(tuple(starts), tuple(owners), tuple(dict.fromkeys([*masters, *replicas])))


def _address(node: Sequence[Any], asked: str) -> Address:
    """The preferred name, then the port; what else there is says how else the node is called."""
    host, port, *_ = node
    return named(host.decode() if host else "", asked), port


def named(host: str, asked: str) -> str:
    """Where to connect to a node. `host`: as the node `asked` writes it; without a name it means `asked` itself."""
    # A question mark: its name was to be told, and nobody has given it one.
    return asked if host in ("", "?") else host
