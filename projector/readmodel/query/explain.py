"""The plan and the steps by which a list was answered, from the replies of its scripts. Pure."""

from collections.abc import Sequence
from typing import cast

from msgspec import Struct

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.query.calls import BEHIND, PREPARE_FIRST, SELLERS_FIRST, STALE
from projector.readmodel.query.plan import PlanTaken, costliest


class Step(Struct, frozen=True):
    """`what` was done with `key`, and the number of `groups` that were left after it: see MEANINGS."""

    what: str
    key: str
    groups: int


class Shard(Struct, frozen=True):
    number: int
    steps: list[Step]


# The calls of all shards for the same purpose.
Round = list[Shard]

# The meaning of each step, for people.
MEANINGS = {
    "rank": "page read by rank",
    "list": "members listed",
    "look-up": "left after looking them up",
    "search": "groups with the text",
    "refresh": "text that q searches read first",
    "prepare": "mask prepared first, in several calls",
    "repair": "mask brought up to date in part",
    "prepared": "groups in the prepared mask, brought up to date",
    "sellers": "sellers of the groups read first, in several calls",
    "bitmap": "groups of the filter",
    "slices": "groups selected by bit slices",
    "and": "groups that pass all filters",
    "after": "groups after the page before",
    "sort": "sorted",
    "walk": "looked up in the order of the list",
    "read": "records of a large page, read last",
    "facet": "values, each with its groups",
    "sum": "currencies, each with its sum",
    "histogram": "intervals, each with its groups",
}

# Replies in place of a count, when other calls come before the one that answers.
_BEFORE = {STALE: "refresh", PREPARE_FIRST: "prepare", BEHIND: "repair", SELLERS_FIRST: "sellers"}


def plan_taken(replies: Sequence[list[object]]) -> PlanTaken:
    """Returns the plan of one round. `replies`: as answer.lua has them."""
    if any(reply[1] in _BEFORE for reply in replies):
        return PlanTaken.PREPARED
    return costliest([PlanTaken(cast(bytes, reply[6]).decode()) for reply in replies])


def steps_of(live: ActiveGeneration, replies: Sequence[list[object]]) -> Round:
    """Returns the steps of each shard in one round."""
    found = []
    for number, (keys, reply) in enumerate(zip(live.shards, replies, strict=True)):
        if isinstance(reply[1], bytes):
            steps = [Step(_BEFORE[reply[1]], keys.text if reply[1] == STALE else keys.changed, 0)]
        else:
            raw = cast(list[tuple[bytes, bytes, int]], reply[7])
            steps = [Step(what.decode(), key.decode(), groups) for what, key, groups in raw]
        found.append(Shard(number, steps))
    return found


def afterwards(keys: Sequence[str], groups: Sequence[int]) -> Round:
    """Returns the step `read`, after a large page. `keys` and `groups`: one for each shard."""
    return [Shard(number, [Step("read", *one)]) for number, one in enumerate(zip(keys, groups, strict=True))]
