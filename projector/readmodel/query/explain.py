"""The plan and the steps by which a list was answered, from the replies of its scripts. Pure."""

from collections.abc import Sequence
from typing import cast

from msgspec import Struct

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.query.calls import Call
from projector.readmodel.query.plan import PlanTaken
from projector.readmodel.query.prepare.gather import BEHIND, UNGATHERED
from projector.readmodel.query.prepare.search import UNSEARCHED


class Step(Struct, frozen=True):
    """`what` was done with `key`, and the number of `groups` that were left after it.

    `rank`    the page was read by rank from a sorted set
    `list`    members of a sorted set were listed
    `probe`   the listed groups were looked up in a sorted set
    `search`  groups with the text of `q` were selected, by their lines or rows
    `bitmap`, `slices`  a mask of one filter was made
    `and`     the masks of all filters were combined
    `slices`, then `sort`  the groups near the page were selected, listed and sorted
    `count`   the groups that pass the only filter were counted
    `walk`    groups were looked up in the order of the list
    `slice by slice`  a search of all lines was needed first, in calls of its own
    `some at a time`  a mask had to be prepared first, in calls of its own
    `catch up`  a prepared mask was brought up to date in part; the rest needed another call
    `gathered`  a prepared mask was brought up to date
    `place`, `read`  ids and documents of a large page were read after the list, in one call or several
    """

    what: str
    key: str
    groups: int


class Shard(Struct, frozen=True):
    number: int
    steps: list[Step]


# The calls of all shards for the same purpose.
Round = list[Shard]


# Replies in place of a count: the call that answers needs other calls before it.
_PREPARING = (UNSEARCHED, UNGATHERED, BEHIND)


def plan_taken(call: Call, replies: Sequence[list[object]]) -> PlanTaken:
    """The plan of one round, read off the steps at the end of each shard's reply."""
    if not call.tells:
        return PlanTaken.RANK
    if any(reply[1] in _PREPARING for reply in replies):
        return PlanTaken.PREPARED
    steps = (cast(list[tuple[bytes, bytes, int]], reply[-1]) for reply in replies)
    is_masked = any(what == b"and" for some in steps for what, _, _ in some)
    return PlanTaken.MASKS if is_masked else PlanTaken.LOOK_UP


def steps_of(live: ActiveGeneration, call: Call, replies: Sequence[list[object]]) -> Round:
    """The steps of each shard in one round."""
    found = []
    for number, (keys, reply) in enumerate(zip(live.shards, replies, strict=True)):
        if reply[1] == UNSEARCHED:
            steps = [Step("slice by slice", keys.text, 0)]
        elif reply[1] == UNGATHERED:
            steps = [Step("some at a time", keys.ordinal, 0)]
        elif reply[1] == BEHIND:
            steps = [Step("catch up", keys.ordinal, 0)]
        elif call.tells:
            raw = cast(list[tuple[bytes, bytes, int]], reply[-1])
            steps = [Step(what.decode(), key.decode(), groups) for what, key, groups in raw]
        else:
            steps = [Step("rank", call.keys(keys)[-1], cast(int, reply[1]))]
        found.append(Shard(number, steps))
    return found


def afterwards(what: str, keys: Sequence[str], groups: Sequence[int]) -> Round:
    """The step `what`, which follows a large page. `keys` and `groups`: one for each shard."""
    return [Shard(number, [Step(what, key, many)]) for number, (key, many) in enumerate(zip(keys, groups, strict=True))]
