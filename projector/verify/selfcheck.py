"""Checks the live generation, some groups at a time: do its documents, index entries and bits fit its states?

Of each group everything is read in one call, hence at one instant, and compared with what the fold makes of the state
that the same call has read. So it holds under writes, and needs no log. What it cannot see: a state that is whole and
wrong, a group without a state, and an entry in a set in which it is not looked up. `projector verify` sees those, too.
"""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from threading import Event, Thread
from typing import Any, Protocol

import msgspec
import structlog

from projector.errors import FatalError, StoreUnavailable
from projector.fold.state import pack
from projector.project import known
from projector.readmodel.client.refusals import Refusal
from projector.readmodel.schema.document import VERSION
from projector.readmodel.schema.keys import Generation
from projector.store.nodes import Nodes
from projector.store.redis import Store
from projector.verify.picture import BY, EMPTY, Difference, Picture, difference, differing, picture_of
from projector.verify.shards import Shards

# From one step to the next, in seconds, and at about how many groups each looks: 72 000 an hour. If 50 of a million are
# damaged, that finds one within the hour with a probability of 97 %. A step takes Redis about 3 ms.
STEP_S = 0.5
STEP_GROUPS = 10
# A difference is logged at most once in so many seconds.
TELL_EVERY_S = 60.0
# Of fields with few values: the sets in which every group is looked up, so that an entry too many is seen there.
FEW_VALUES = ("of:status:", "of:sales_channel_id:")
SETS_MAX = 12
# How long the end of a step is waited for when the process stops, in seconds.
JOIN_S = 3.0
# HSCAN walks buckets of a hash, and a few of them may be empty.
SCANS_MAX = 10

FAULT = "documents, index entries or bits do not fit the states of their groups"

log = structlog.get_logger("projector")


class Checked(Protocol):
    def __call__(self, groups: int, differences: int) -> object:
        """After each step."""


class SelfCheck:
    """Walks through all groups of all shards again and again, from a place drawn by chance."""

    def __init__(self, store: Store, checked: Checked) -> None:
        self._store = store
        self._checked = checked
        self._generation: Generation | None = None
        self._shards: Shards
        self._cursors: list[int] = []
        self._shard = 0
        self._few: set[str] = set()
        self._told_at_s = float("-inf")

    def step(self) -> Sequence[Difference]:
        """Returns what differs. Raises StoreUnavailable, FatalError."""
        generation = self._store.catalogue.live()
        if generation is None or generation.version != VERSION:
            return ()
        if generation != self._generation:
            self._begin(generation)
        self._shard = (self._shard + 1) % generation.shards
        states = self._next_states(self._shard)
        wanted = {one: BY | self._few | _fold(one, state).entries.keys() for one, state in states.items()}
        groups, found = 0, list[Difference]()
        for group_id, picture in self._shards.pictures(self._shard, wanted).items():
            expected = _fold(group_id, picture.state)
            # It may have changed since its state was read, and be in sets in which it was not looked up.
            if expected.entries.keys() <= wanted[group_id]:
                groups += 1
                found += self._differences(group_id, expected, picture)
        self._checked(groups, len(found))
        if found and time.monotonic() - self._told_at_s >= TELL_EVERY_S:
            self._told_at_s = time.monotonic()
            self._tell(found)
        return found

    def _begin(self, generation: Generation) -> None:
        self._generation = generation
        self._shards = Shards(self._store, generation, (), lambda call: call())
        # By chance, so that a projector that is often restarted comes to all of them nevertheless.
        self._cursors = [random.getrandbits(32) for _ in range(generation.shards)]
        self._few = set()

    def _next_states(self, shard: int) -> Mapping[str, bytes]:
        assert self._generation is not None
        key = self._generation.keys(shard).state
        for _ in range(SCANS_MAX):
            with self._store.nodes.errors():
                found: Any = self._store.nodes.of(key).hscan(key, self._cursors[shard], count=STEP_GROUPS)
            self._cursors[shard], states = found
            if states:
                break
        return {group_id.decode(errors="replace"): state for group_id, state in states.items()}

    def _differences(self, group_id: str, expected: Picture, found: Picture) -> list[Difference]:
        assert self._generation is not None
        number, shard = self._generation.number, self._shard
        for name in expected.entries:
            if name.startswith(FEW_VALUES) and len(self._few) < SETS_MAX:
                self._few.add(name)
        return [difference(number, shard, group_id, what, expected, found) for what in differing(expected, found)]

    def _tell(self, found: Sequence[Difference]) -> None:
        first = found[0]
        log.error(
            f"{FAULT}: `projector verify` shows all of them, `projector replay` mends them",
            **msgspec.structs.asdict(first),
            more=len(found) - 1,
        )


def _fold(group_id: str, state: bytes | None) -> Picture:
    """What belongs to the state. Nothing if it cannot be read: then all that is stored differs."""
    try:
        folded = known(group_id, state)
    except FatalError:
        return EMPTY
    # Packed again, so that a state whose revision does not fit its content differs.
    return picture_of(group_id, folded, state and pack(folded.group))


@contextmanager
def self_checking(url: str, checked: Checked) -> Iterator[None]:
    """In a thread of its own, with connections of its own, within the block."""
    stop = Event()
    thread = Thread(target=_run, args=(url, checked, stop), name="self-check", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(JOIN_S)


def _run(url: str, checked: Checked, stop: Event) -> None:
    with closing(Nodes(url)) as nodes:
        check, stood_still = SelfCheck(Store(nodes), checked), ""
        while not stop.wait(STEP_S):
            try:
                check.step()
            except (StoreUnavailable, FatalError) as error:
                if isinstance(error, StoreUnavailable) and error.refusal not in (Refusal.NOPERM, Refusal.OTHER):
                    # The loop needs Redis as well, and says why it has none.
                    continue
                if str(error) != stood_still:
                    log.warning("the self-check stands still", reason=str(error))
                stood_still = str(error)
            else:
                stood_still = ""
