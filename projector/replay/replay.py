"""The steps of a replay: build, verify, switch, rollback, drop.

All state between steps is in Redis, so each step can be its own command, and one that was killed can be repeated. Only
the holder of the lease takes steps.
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
from projector.personal_data import check_setting
from projector.readmodel.schema.generations import Listed, State
from projector.readmodel.schema.keys import VERSION, Generation
from projector.rebuild.books import close_books, has_books, open_books
from projector.rebuild.builder import Builder, Positions
from projector.rebuild.values import write_value_bitmaps
from projector.replay.drop import delete_keys
from projector.replay.lease import Lease
from projector.replay.log_checks import check_log_continues, check_same_log
from projector.replay.plan import Stretch, unfinished
from projector.replay.reporter import ProgressRecorder, Reporter
from projector.replay.switch import NEAR_EVENTS, switch_to
from projector.replay.workers import Task, run_workers
from projector.retry import Retrying, Stopped, Waiter, retry
from projector.status import lowest_positions
from projector.store.catalogue import Catalogue
from projector.store.nodes import Nodes
from projector.store.redis import Store
from projector.verify.compare import Report, compare_generations, verify_log
from projector.verify.sample import ALL, Sample

# How long the positions of a live generation that lags behind the new one may stay unchanged, in seconds.
STALL_MAX_S = 5.0
# Requests that began before a generation was sealed are answered after so many seconds.
READERS_S = 1.0
CHECK_EVERY_S = 0.05

T = TypeVar("T")


class Switched(NamedTuple):
    """`before`: the generation that was live, if any."""

    now: Generation
    before: Generation | None


class Replay:
    """Steps raise BadSetting if another step must come first, FatalError, Stopped, and what the log raises.

    `park`: park events that break the contract, as `projector run` does; else they stop a step.
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
        personal_data: bool = True,
    ) -> None:
        self._log, self._nodes, self._store = log, nodes, Store(nodes)
        self._catalogue = cast(Catalogue, Retrying(self._store.catalogue, self._retry))
        self._lease, self._stop, self._watch = lease, stop, watch
        self._reporter = ProgressRecorder(reporter, lease.set_progress)
        self._park, self._personal_data = park, personal_data
        self._partitions = self._retry(log.partitions)
        self._lift_seal(self._catalogue.live())

    def build(self, shards: int, workers: int, data_dir: Path, environment: Mapping[str, str]) -> None:
        """Begins a generation, or continues an unfinished one, up to NEAR_EVENTS before the end of the log."""
        self._retry(self._store.check_eviction)
        token = self._lease.token
        entry = self._unfinished() or self._catalogue.add(shards, State.BUILDING, token, self._personal_data)
        generation = entry.generation
        if entry.state is State.VERIFIED:
            # What is written from here on has not been compared, and a build may be killed halfway.
            self._catalogue.put(structs.replace(entry, state=State.BUILDING), token)
        self._retry(lambda: self._store.open(generation))
        check_same_log(self._log, self._store, generation, self._partitions, self._retry)
        self._retry(lambda: open_books(self._nodes, generation, self._lease.token))
        done_before = 0
        while True:
            stretches = self._stretches(generation)
            left = sum(stretch.events for stretch in stretches)
            if left == 0 or (done_before and left <= NEAR_EVENTS):
                break

            def report(done: list[int], before: int = done_before, total: int = done_before + left) -> None:
                self._lease.check()
                self._reporter.progress("build", [before + done[0], *done[1:]], total)

            task = Task(generation, self._log.topic, self._lease.token, {}, self._park)
            run_workers(task, stretches, workers, data_dir, environment, self._stop, report, self._reporter.message)
            done_before += left
        write_value_bitmaps(self._nodes, generation, self._lease.token, self._retry, self._check)
        self._retry(lambda: close_books(self._nodes, generation))

    def verify(self, sample: Sample = ALL) -> Report:
        """Compares the new generation with the live one at the same positions, or if that is impossible, the log."""
        entry = self._require_unfinished()
        generation, live = entry.generation, self._catalogue.live()
        if self._retry(lambda: has_books(self._nodes, generation)):
            raise BadSetting(f"generation {generation.number} is not built to its end yet: projector replay build")

        def progress(step: str, done: int, total: int) -> None:
            self._check()
            self._reporter.progress(step, [done], total)

        self._check_log_continues(generation)
        with closing(Builder(self._log, self._store, generation, self._partitions, self._retry, self._park)) as builder:
            builder.advance({})
            if live is not None and self._is_comparable(live, builder.positions):
                report = compare_generations(self._store, live, generation, builder, progress, sample)
            else:
                # The build was only possible with --accept-loss for what the log has lost.
                report = verify_log(self._log, self._store, generation, self._retry, progress, sample, accept_loss=True)
        if not sample.is_all and report.groups == 0:
            raise BadSetting(f"--sample: expected a larger one, {sample.share} selects none of the groups")
        # A sample may miss differences that an earlier, full comparison has found.
        found = report.differences if sample.is_all else max(report.differences, entry.differences)
        self._catalogue.put(structs.replace(entry, state=State.VERIFIED, differences=found), self._lease.token)
        return report

    def differences(self) -> int:
        """Returns the number of differences of the new generation when it was last compared."""
        return self._require_unfinished().differences

    def switch(self, accept_differences: bool) -> Switched:
        """Makes the new generation live. Readers and the projector follow by themselves; the previous one is kept."""
        entry = self._require_unfinished()
        number = entry.generation.number
        if entry.state is not State.VERIFIED:
            raise BadSetting(f"generation {number} has not been compared yet: projector replay verify")
        if entry.differences and not accept_differences:
            count = "1 difference" if entry.differences == 1 else f"{entry.differences} differences"
            raise BadSetting(f"generation {number} has {count}, see projector replay verify: --accept-differences")
        return self._switch_to(entry.generation, self._park)

    def rollback(self, number: int | None) -> Switched:
        """Makes a kept generation catch up with the log, and makes it live again."""
        live = self._catalogue.live()
        kept = [e for e in self._catalogue.listed() if e.state is State.READY and e.generation != live]
        if number is not None:
            kept = [entry for entry in kept if entry.generation.number == number]
        if not kept:
            which = "no generation" if number is None else f"no generation {number}"
            raise BadSetting(f"there is {which} to go back to: projector replay list shows those that are kept")
        generation = max(kept, key=lambda entry: (entry.generation.version == VERSION, entry.live_at)).generation
        if generation.version != VERSION:
            raise BadSetting(
                f"generation {generation.number} has version {generation.version}, this release writes {VERSION}: roll "
                "back with the release that built it"
            )
        check_setting(generation, self._personal_data)
        self._check_log_continues(generation)
        self._lift_seal(generation)
        # `projector run` would have parked, too.
        return self._switch_to(generation, park=True)

    def drop(self, number: int) -> int:
        """Deletes a generation. Returns the number of deleted keys."""
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

    def _switch_to(self, generation: Generation, park: bool) -> Switched:
        self._check_log_continues(generation)
        before = self._catalogue.live()
        with closing(Builder(self._log, self._store, generation, self._partitions, self._retry, park)) as builder:
            switch_to(self._log, self._store, builder, self._lease, self._retry, self._reporter)
        return Switched(generation, before)

    def _is_comparable(self, live: Generation, built: Positions) -> bool:
        """Returns whether the live generation holds this log and is, or soon will be, as far as the new one."""
        if self._retry(lambda: self._store.log_of(live)) not in (None, self._retry(self._log.identity)):
            return False
        if self._retry(lambda: compare(self._log, self._store, live, self._partitions)).diverged:
            return False
        before, moved_s = -1, time.monotonic()
        while True:
            reached, end = self._reached(live), self._retry(self._log.end)
            if any(at > end[partition] for partition, at in reached.items()):
                return False
            if all(reached[partition] >= at for partition, at in built.items()):
                return any(reached.values())
            if sum(reached.values()) > before:
                before, moved_s = sum(reached.values()), time.monotonic()
            elif time.monotonic() - moved_s > STALL_MAX_S:
                self._reporter.message("the live generation lags and does not advance: comparing with the log instead")
                return False
            self._reporter.progress("wait for the live one", [sum(reached.values())], sum(built.values()))
            if self._stop.wait(CHECK_EVERY_S):
                raise Stopped

    def _stretches(self, generation: Generation) -> list[Stretch]:
        first, end, reached = self._retry(self._log.first), self._retry(self._log.end), self._reached(generation)
        return [Stretch(p, max(reached[p], first[p]), end[p], None) for p in self._partitions if end[p] > reached[p]]

    def _reached(self, generation: Generation) -> dict[Partition, int]:
        return self._retry(lambda: lowest_positions(self._nodes, generation, self._partitions))

    def _check_log_continues(self, generation: Generation) -> None:
        check_log_continues(self._log, self._store, generation, self._partitions, self._retry)

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped
        self._lease.check()

    def _unfinished(self) -> Listed | None:
        return unfinished(self._catalogue.listed(), self._catalogue.live())

    def _require_unfinished(self) -> Listed:
        if (entry := self._unfinished()) is None:
            raise BadSetting("there is no new generation: projector replay build makes one")
        return entry

    def _lift_seal(self, generation: Generation | None) -> None:
        """Lifts the seal of a replay that was killed during its switch."""
        if generation is not None:
            seals = self._retry(lambda: self._store.seals(generation))
            self._retry(lambda: self._store.unseal(generation, seals))

    def _retry(self, call: Callable[[], T]) -> T:
        """Raises Stopped at once when asked to stop: the next replay continues."""
        if self._stop.is_set():
            raise Stopped
        return retry(self._stop, call, self._watch)
