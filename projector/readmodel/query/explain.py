"""What is done for a list: for `projector explain`. Pure."""

from collections.abc import Sequence
from typing import cast

from msgspec import Struct

from projector.readmodel.client.active import ActiveGeneration
from projector.readmodel.query.calls import Call
from projector.readmodel.query.prepare.gather import BEHIND, UNGATHERED
from projector.readmodel.query.prepare.search import UNSEARCHED


class Step(Struct, frozen=True):
    """`what` is done, with which `key`, and how many groups that leaves.

    `rank`    the page is read by its ranks in a sorted set
    `list`    members of a sorted set are listed
    `probe`   those listed are looked up in it
    `search`  those whose line has the text, or whose row
    `bitmap`, `slices`  the groups of a filter, as a mask
    `and`     those in all masks
    `slices`, then `sort`  those that lie about as far as the page are listed and sorted
    `count`   those that pass the only filter
    `walk`    so many groups are looked at in the order of the list
    `slice by slice`  all lines are searched, before the script is called again
    `some at a time`  members of filters are looked up for masks, before it is
    `catch up`  what changed meanwhile is looked up, as much as one call has time for
    `gathered`  the groups in all such filters, brought up to date
    `place`, `read`  groups of a large page, and its documents: after the rest, perhaps in several calls
    """

    what: str
    key: str
    groups: int


class Shard(Struct, frozen=True):
    number: int
    steps: list[Step]


# One call of every shard, or several for the same.
Round = list[Shard]


def told(live: ActiveGeneration, asked: Call, replies: Sequence[list[object]]) -> Round:
    """What each reply tells at its end, if it does."""
    found = []
    for number, (keys, reply) in enumerate(zip(live.shards, replies, strict=True)):
        if reply[1] == UNSEARCHED:
            steps = [Step("slice by slice", keys.text, 0)]
        elif reply[1] == UNGATHERED:
            steps = [Step("some at a time", keys.ordinal, 0)]
        elif reply[1] == BEHIND:
            steps = [Step("catch up", keys.ordinal, 0)]
        elif asked.tells:
            raw = cast(list[tuple[bytes, bytes, int]], reply[-1])
            steps = [Step(what.decode(), key.decode(), groups) for what, key, groups in raw]
        else:
            steps = [Step("rank", asked.keys(keys)[-1], cast(int, reply[1]))]
        found.append(Shard(number, steps))
    return found


def afterwards(what: str, keys: Sequence[str], groups: Sequence[int]) -> Round:
    """What follows a large page. Both for each shard."""
    return [Shard(number, [Step(what, key, many)]) for number, (key, many) in enumerate(zip(keys, groups, strict=True))]
