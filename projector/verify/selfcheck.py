"""The self-check: compares everything that the live generation holds of a group with the group's record.

Each step checks a few groups. Everything of a group is read in one script call, so writes do not disturb the check, and
it needs no log. It cannot find a record that is valid but wrong, a group without an ordinal, and an entry in a set in
which the group is not looked up. `projector verify` finds those, too.
"""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from threading import Event
from typing import Protocol

import msgspec
import structlog

from projector.readmodel.schema.keys import VERSION, Generation
from projector.retry import Beside, in_thread
from projector.store.nodes import Nodes
from projector.store.redis import Store
from projector.verify.difference import Difference, describe, differing
from projector.verify.settling import settled
from projector.verify.shards import Shards
from projector.verify.snapshot import EMPTY, scores_of
from projector.verify.tables import Candidate

# Time between two steps, in seconds, and the approximate number of groups in each: 72 000 groups an hour. If 50 of a
# million are damaged, one of them is found within an hour with a probability of 97 %. A step takes Redis about 3 ms.
STEP_S = 0.5
STEP_GROUPS = 10
# Differences are logged at most once in so many seconds.
LOG_EVERY_S = 60.0
# Every group is looked up in all sets of fields with few values, so that unexpected entries are found there.
FEW_VALUED = tuple(
    f"of:{field}:" for field in ("status", "sales_channel_id", "payment_status", "fulfillment_status", "currency_code")
)
SMALL_SETS_MAX = 30
# How long a stopping process waits for the end of a step, in seconds.
JOIN_S = 3.0
# HSCAN reads buckets of a hash, and a few of them may be empty.
SCANS_MAX = 10

FAULT = "rows, index entries or bits do not fit the records of their groups"

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
        shards, self._shard = self._shards, (self._shard + 1) % generation.shards
        read = partial(shards.read, self._shard)
        candidates: dict[Candidate, set[str]] = {one: {*self._small_sets} for one in self._next_ids()}
        found, groups = list[Difference](), 0
        for group in settled(candidates, read, shards.own_snapshots, True):
            groups += 1
            expected = group.expected or EMPTY
            for name in scores_of(expected.indexed):
                if name.startswith(FEW_VALUED) and len(self._small_sets) < SMALL_SETS_MAX:
                    self._small_sets.add(name)
            found += (
                Difference(generation.number, self._shard, group.id, what, *describe(what, expected, group.found))
                for what in differing(expected, group.found)
            )
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

    def _next_ids(self) -> list[str]:
        for _ in range(SCANS_MAX):
            cursor = self._cursors[self._shard]
            self._cursors[self._shard], groups = self._shards.streams.ask(
                self._shard, "HSCAN", "ordinal", cursor, "COUNT", STEP_GROUPS
            )
            if groups:
                break
        return [group_id.decode(errors="replace") for group_id in groups]

    def _log(self, found: Sequence[Difference]) -> None:
        first = found[0]
        log.error(
            f"{FAULT}: `projector verify` lists all differences, `projector replay` repairs them",
            **msgspec.structs.asdict(first),
            more=len(found) - 1,
        )


@contextmanager
def self_checking(url: str, checked: Checked) -> Iterator[None]:
    """Runs the check inside the `with` block, in a thread with its own connections."""
    with in_thread("self-check", partial(_run, url, checked), JOIN_S):
        yield


def _run(url: str, checked: Checked, stop: Event) -> None:
    with closing(Nodes(url)) as nodes:
        check, beside = SelfCheck(Store(nodes), checked), Beside("the self-check cannot read the live generation")
        while not stop.wait(STEP_S):
            with beside.logged():
                check.step()
