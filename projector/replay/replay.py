"""The steps of a replay: build, verify, switch; and those back: rollback, drop.

All that a step needs to know lies in Redis, so that each may be a command of its own, and one that was killed is done
again by the next. Only the holder of the lease takes steps.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import NamedTuple, TypeVar, cast

from msgspec import structs

from events.logs.log import Log, Partition
from projector.continuity import compare
from projector.errors import BadSetting
from projector.readmodel.schema.document import VERSION
from projector.readmodel.schema.generations import Listed, State
from projector.readmodel.schema.keys import Generation
from projector.rebuild.builder import WHOLE_RECORDS, Builder
from projector.rebuild.parts import Positions
from projector.rebuild.windows import WINDOW_RECORDS
from projector.replay.drop import delete_keys
from projector.replay.follow import check_log, must_follow
from projector.replay.lease import Lease
from projector.replay.plan import Stretch, unfinished
from projector.replay.reporter import Reporter, Reporting
from projector.replay.switch import NEAR_EVENTS, go_over
from projector.replay.workers import run_workers
from projector.retry import Retrying, Stopped, Waiter, retry
from projector.status import lowest_positions
from projector.store.catalogue import Catalogue
from projector.store.nodes import Nodes
from projector.store.redis import Store
from projector.verify.compare import Report, compare_generations, verify_log
from projector.verify.sample import ALL, Sample

# How long a live generation that lags behind the new one may stand still before it is waited for no more, in seconds.
STANDSTILL_S = 5.0
# A request that began before the switch is answered by then, in seconds.
READERS_S = 1.0
LOOK_S = 0.05

T = TypeVar("T")


class Switched(NamedTuple):
    """`before`: what was live; None where nothing was."""

    now: Generation
    before: Generation | None


class Replay:
    """Raises BadSetting for a step that is not the next one, FatalError, Stopped, and what the log raises. `park`: what
    the live path would park; else it stops a step.
    """

    def __init__(
        self,
        log: Log,
        nodes: Nodes,
        lease: Lease,
        stop: Event,
        reporter: Reporter,
        park: bool,
        watch: Waiter | None = None,
    ) -> None:
        self._watch = watch
        self._log = log
        self._nodes = nodes
        self._store = Store(nodes)
        self._catalogue = cast(Catalogue, Retrying(self._store.catalogue, self._retry))
        self._lease = lease
        self._stop = stop
        self._reporter = Reporting(reporter, lease.tell)
        self._park = park
        self._partitions = self._retry(log.partitions)
        self._lift_orphaned_seal()

    def build(self, shards: int, workers: int, data_dir: Path, environment: Mapping[str, str]) -> None:
        """Begins a generation, or goes on with the one begun, up to where the log ends, or nearly so."""
        self._retry(self._store.check_eviction)
        entry = self._begun() or self._catalogue.add(shards, State.BUILDING, self._lease.token)
        generation = entry.generation
        self._retry(lambda: self._store.open(generation))
        check_log(self._log, self._store, generation, self._partitions, self._retry)
        done_before = 0
        while True:
            stretches = self._stretches(generation)
            left = sum(stretch.events for stretch in stretches)
            if left == 0 or (done_before and left <= NEAR_EVENTS):
                return

            def tell(done: list[int], before: int = done_before, total: int = done_before + left) -> None:
                self._lease.check()
                self._reporter.progress("build", [before + done[0], *done[1:]], total)

            say = self._reporter.say
            run_workers(generation, stretches, workers, self._park, data_dir, environment, self._stop, tell, say)
            done_before += left

    def verify(self, sample: Sample = ALL) -> Report:
        """Compares with the live generation at the same positions, or where that is no measure, with the log."""
        entry = self._must_have_begun()
        generation, live = entry.generation, self._catalogue.live()

        def tell(step: str, done: int, total: int) -> None:
            self._check()
            self._reporter.progress(step, [done], total)

        self._must_follow(generation)
        with closing(self._builder(generation, self._park)) as builder:
            builder.advance({})
            if live is not None and self._is_measure(live, builder.positions):
                report = compare_generations(self._store, live, generation, builder, tell, sample)
            else:
                # What the log has lost was accepted by name before this was built from it.
                report = verify_log(self._log, self._store, generation, self._retry, tell, sample, accept_loss=True)
        if not sample.is_all and report.groups == 0:
            raise BadSetting(f"--sample: expected a larger one, {sample.share} has no group of {generation.number}")
        # A sample may miss what all groups showed before.
        found = report.differences if sample.is_all else max(report.differences, entry.differences)
        verified = structs.replace(entry, state=State.VERIFIED, differences=found)
        self._catalogue.put(verified, self._lease.token)
        return report

    def differences(self) -> int:
        """Of the new generation, as it was last compared."""
        return self._must_have_begun().differences

    def switch(self, accept_differences: bool) -> Switched:
        """Makes it live. Readers and the projector go over by themselves; what was live is kept."""
        entry = self._must_have_begun()
        number = entry.generation.number
        if entry.state is not State.VERIFIED:
            raise BadSetting(f"generation {number} has not been compared yet: projector replay verify")
        if entry.differences and not accept_differences:
            places = "1 place" if entry.differences == 1 else f"{entry.differences} places"
            raise BadSetting(
                f"generation {number} was found to differ in {places}, as projector replay verify shows: if that is "
                "what you want, --accept-differences"
            )
        return self._go_over(entry.generation, self._park)

    def rollback(self, number: int | None) -> Switched:
        """Brings a generation that was live before up to the log, and makes it live again."""
        live = self._catalogue.live()
        kept = [e for e in self._catalogue.listed() if e.state is State.READY and e.generation != live]
        if number is not None:
            kept = [entry for entry in kept if entry.generation.number == number]
        if not kept:
            which = "no generation" if number is None else f"no generation {number}"
            raise BadSetting(f"there is {which} that was live and is kept: projector replay list")
        generation = max(kept, key=lambda entry: (entry.generation.version == VERSION, entry.live_at)).generation
        if generation.version != VERSION:
            raise BadSetting(
                f"generation {generation.number} has version {generation.version}, this code writes version {VERSION}: "
                "roll back with the code that made it"
            )
        self._must_follow(generation)
        self._unseal(generation)
        # What the live path would have done.
        return self._go_over(generation, park=True)

    def drop(self, number: int) -> int:
        """Returns how many keys there were."""
        entry = self._catalogue.find(number)
        if entry is None:
            there = ", ".join(str(entry.generation.number) for entry in self._catalogue.listed()) or "none"
            raise BadSetting(f"there is no generation {number}; there are: {there}")
        if entry.generation == self._catalogue.live():
            raise BadSetting(f"generation {number} is live: switch to another one before you drop it")
        self._catalogue.put(structs.replace(entry, state=State.DROPPING), self._lease.token)
        self._retry(lambda: self._store.seal(entry.generation, self._lease.token))
        if self._stop.wait(READERS_S):
            raise Stopped
        deleted = delete_keys(self._nodes, entry.generation, self._retry, self._check)
        self._catalogue.remove(number, self._lease.token)
        return deleted

    def _go_over(self, generation: Generation, park: bool) -> Switched:
        self._must_follow(generation)
        before = self._catalogue.live()
        # A kept one may be read: by an API of its version, while another one is live.
        with closing(self._builder(generation, park, WHOLE_RECORDS)) as builder:
            go_over(self._log, self._store, builder, self._lease, self._retry, self._reporter)
        return Switched(generation, before)

    def _is_measure(self, live: Generation, built: Positions) -> bool:
        """Whether the live generation holds this log, and has come, or soon comes, as far as the new one."""
        if self._retry(lambda: self._store.log_of(live)) not in (None, self._retry(self._log.identity)):
            return False
        if self._retry(lambda: compare(self._log, self._store, live, self._partitions)).diverged:
            return False
        before, moved_s = -1, time.monotonic()
        while True:
            reached = self._reached(live)
            end = self._retry(self._log.end)
            if any(at > end[partition] for partition, at in reached.items()):
                return False
            if all(reached[partition] >= at for partition, at in built.items()):
                return any(reached.values())
            if sum(reached.values()) > before:
                before, moved_s = sum(reached.values()), time.monotonic()
            elif time.monotonic() - moved_s > STANDSTILL_S:
                self._reporter.say(
                    "the live generation stands still behind the new one, which is compared with the log"
                )
                return False
            self._reporter.progress("wait for the live one", [sum(reached.values())], sum(built.values()))
            if self._stop.wait(LOOK_S):
                raise Stopped

    def _stretches(self, generation: Generation) -> list[Stretch]:
        first, end = self._retry(self._log.first), self._retry(self._log.end)
        reached = self._reached(generation)
        return [Stretch(p, max(reached[p], first[p]), end[p], None) for p in self._partitions if end[p] > reached[p]]

    def _reached(self, generation: Generation) -> dict[Partition, int]:
        return self._retry(lambda: lowest_positions(self._nodes, generation, self._partitions))

    def _unseal(self, generation: Generation) -> None:
        seals = self._retry(lambda: self._store.seals(generation))
        self._retry(lambda: self._store.unseal(generation, seals))

    def _builder(self, generation: Generation, park: bool, window: int = WINDOW_RECORDS) -> Builder:
        return Builder(self._log, self._store, generation, self._partitions, self._retry, park, window)

    def _must_follow(self, generation: Generation) -> None:
        must_follow(self._log, self._store, generation, self._partitions, self._retry)

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped
        self._lease.check()

    def _begun(self) -> Listed | None:
        return unfinished(self._catalogue.listed(), self._catalogue.live())

    def _must_have_begun(self) -> Listed:
        entry = self._begun()
        if entry is None:
            raise BadSetting("there is no new generation: projector replay build")
        return entry

    def _lift_orphaned_seal(self) -> None:
        """Of a replay that was killed within its switch."""
        live = self._catalogue.live()
        if live is not None:
            self._unseal(live)

    def _retry(self, call: Callable[[], T]) -> T:
        """Unlike the projector, which finishes what it has begun, a step ends where it is: another one goes on."""
        if self._stop.is_set():
            raise Stopped
        return retry(self._stop, call, self._watch)
