"""The self-check: compares documents, index entries and bits of the live generation with the states of their groups.

Each step checks a few groups. Everything of a group is read in one script call and compared with what the fold makes of
the state that the same call has read, so writes do not disturb the check, and it needs no log. It cannot find a state
that is valid but wrong, a group without a state, and an entry in a set in which the group is not looked up. `projector
verify` finds those, too.
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
from projector.verify.difference import Difference, describe, differing
from projector.verify.shards import Shards
from projector.verify.snapshot import BY, EMPTY, GroupSnapshot, expected_snapshot

# Time between two steps, in seconds, and the approximate number of groups in each: 72 000 groups an hour. If 50 of a
# million are damaged, one of them is found within an hour with a probability of 97 %. A step takes Redis about 3 ms.
STEP_S = 0.5
STEP_GROUPS = 10
# Differences are logged at most once in so many seconds.
LOG_EVERY_S = 60.0
# Every group is looked up in all sets of fields with few values, so that unexpected entries are found there.
FEW_VALUED = ("of:status:", "of:sales_channel_id:")
SMALL_SETS_MAX = 12
# How long a stopping process waits for the end of a step, in seconds.
JOIN_S = 3.0
# HSCAN reads buckets of a hash, and a few of them may be empty.
SCANS_MAX = 10

FAULT = "documents, index entries or bits do not fit the states of their groups"

log = structlog.get_logger("projector")


class Checked(Protocol):
    def __call__(self, groups: int, differences: int) -> object:
        """After each step."""


class SelfCheck:
    """Checks all groups of all shards again and again, from a random start."""

    def __init__(self, store: Store, checked: Checked) -> None:
        self._store = store
        self._checked = checked
        self._generation: Generation | None = None
        self._shards: Shards
        self._cursors: list[int] = []
        self._shard = 0
        self._small_sets: set[str] = set()
        self._logged_at_s = float("-inf")

    def step(self) -> Sequence[Difference]:
        """Checks some groups of the next shard. Returns what differs. Raises StoreUnavailable, FatalError."""
        generation = self._store.catalogue.live()
        if generation is None or generation.version != VERSION:
            return ()
        if generation != self._generation:
            self._begin(generation)
        self._shard = (self._shard + 1) % generation.shards
        states = self._next_states(self._shard)
        wanted = {one: BY | self._small_sets | _fold(one, state).entries.keys() for one, state in states.items()}
        groups, found = 0, list[Difference]()
        for group_id, snapshot in self._shards.snapshots(self._shard, wanted).items():
            expected = _fold(group_id, snapshot.state)
            # The group may have changed since its state was read, and be in sets in which it was not looked up.
            if expected.entries.keys() <= wanted[group_id]:
                groups += 1
                found += self._differences(group_id, expected, snapshot)
        self._checked(groups, len(found))
        if found and time.monotonic() - self._logged_at_s >= LOG_EVERY_S:
            self._logged_at_s = time.monotonic()
            self._log(found)
        return found

    def _begin(self, generation: Generation) -> None:
        self._generation = generation
        self._shards = Shards(self._store, generation, (), lambda call: call())
        # Random, so that a projector that is often restarted still checks all groups.
        self._cursors = [random.getrandbits(32) for _ in range(generation.shards)]
        self._small_sets = set()

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

    def _differences(self, group_id: str, expected: GroupSnapshot, found: GroupSnapshot) -> list[Difference]:
        assert self._generation is not None
        number, shard = self._generation.number, self._shard
        for name in expected.entries:
            if name.startswith(FEW_VALUED) and len(self._small_sets) < SMALL_SETS_MAX:
                self._small_sets.add(name)
        return [describe(number, shard, group_id, what, expected, found) for what in differing(expected, found)]

    def _log(self, found: Sequence[Difference]) -> None:
        first = found[0]
        log.error(
            f"{FAULT}: `projector verify` lists all differences, `projector replay` repairs them",
            **msgspec.structs.asdict(first),
            more=len(found) - 1,
        )


def _fold(group_id: str, state: bytes | None) -> GroupSnapshot:
    """Returns what the state should result in; EMPTY if it cannot be decoded, so that all that is stored differs."""
    try:
        folded = known(group_id, state)
    except FatalError:
        return EMPTY
    # Packed again, so that a state differs whose revision does not fit its content.
    return expected_snapshot(group_id, folded, state and pack(folded.group))


@contextmanager
def self_checking(url: str, checked: Checked) -> Iterator[None]:
    """Runs the check inside the `with` block, in a thread with its own connections."""
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
        check, logged = SelfCheck(Store(nodes), checked), ""
        while not stop.wait(STEP_S):
            try:
                check.step()
            except (StoreUnavailable, FatalError) as error:
                if isinstance(error, StoreUnavailable) and error.refusal not in (Refusal.NOPERM, Refusal.OTHER):
                    # The projector's loop needs Redis as well, and logs why it has none.
                    continue
                if str(error) != logged:
                    log.warning("the self-check cannot read the live generation", reason=str(error))
                logged = str(error)
            else:
                logged = ""
