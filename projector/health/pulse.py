"""The state of the main loop. The loop writes it, per iteration or per second; the health port's thread reads it.

Attributes are replaced, never changed in place, so that no lock is needed: a reader sees the old value or the new one.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from msgspec import Struct

from events.logs.log import Partition
from projector.project import Decoded
from projector.readmodel.schema.generations import Progress
from projector.store.memory import Filled

# A loop without an iteration for so long is stuck, in seconds. Each of its calls ends sooner, each retry counts as an
# iteration, and after that time Kafka reassigns its partitions.
TURN_MAX_S = 60.0
# The lag is unknown while the last known end of the log is older than this, in seconds.
END_AGE_MAX_S = 10.0
# How long an open transaction may hold events back before /health/ready answers 503, in seconds.
HELD_BACK_MAX_S = 120


class Waiting(Struct, frozen=True):
    """An outage. `on`: redis or log."""

    on: str
    reason: str
    since_s: float


class RedisState(Struct, frozen=True):
    """As read some seconds ago. `generation`: the one we write. `states`: generations by state. `paused`: partitions.
    `dead_letters_due`: parked events that are not in the dead-letter topic yet. `memory`: by the address of a master.
    """

    generation: int | None = None
    parked: int = 0
    paused: int = 0
    dead_letters_due: int = 0
    memory: Mapping[str, Filled] = {}
    states: Mapping[str, int] = {}
    replay: Progress | None = None


class HeldBack(Struct, frozen=True):
    """`first`: the offset of the first of the events, which has been held back since `since_s`."""

    events: int
    first: int
    since_s: float


class Pulse:
    """Ready while the lag is at most `lag_max` events, and no open transaction has held events back for longer than
    `held_back_max_s`.
    """

    def __init__(
        self,
        lag_max: int = 0,
        held_back_max_s: int = HELD_BACK_MAX_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lag_max = lag_max
        self.held_back_max_s = held_back_max_s
        self._clock = clock
        self._turned_at_s = clock()
        self._end_at_s: float | None = None
        self.waiting: Waiting | None = None
        self.standing_by = False
        # Unfinished rewrites of append-only files, as texts.
        self.pending_rewrites: Sequence[str] = ()
        # None while this process is no member of the consumer group.
        self.owned: AbstractSet[Partition] | None = None
        # Of our partitions: the position that every shard has stored, and the log's end.
        self.positions: Mapping[Partition, int] = {}
        self.end: Mapping[Partition, int] = {}
        self._held_back: Mapping[Partition, HeldBack] = {}
        # The oldest unstored batch.
        self.oldest: Sequence[Decoded] = ()
        self.redis_state = RedisState()
        # Of our partitions: approximate size of parked events in Redis.
        self.parked_bytes: Mapping[Partition, int] = {}

    # --- written by the loop ---

    def turn(self) -> None:
        self._turned_at_s = self._clock()

    def wait(self, on: str, reason: str) -> None:
        """Called after every failed attempt."""
        self.turn()
        since_s = self.waiting.since_s if self.waiting else self._clock()
        self.waiting = Waiting(on, reason, since_s)

    def resume(self) -> float:
        """Ends the outage. Returns its length in seconds."""
        waiting, self.waiting = self.waiting, None
        return self._clock() - waiting.since_s if waiting else 0.0

    def mark(self, owned: AbstractSet[Partition] | None, positions: Mapping[Partition, int]) -> None:
        self.owned, self.positions = owned, positions

    def set_end(self, end: Mapping[Partition, int], held_back: Mapping[Partition, int]) -> None:
        """`held_back`: events before the end that an open transaction keeps from being read."""
        self.end, self._end_at_s = end, self._clock()
        before, found = self._held_back, {}
        for partition, events in held_back.items():
            first, known = end[partition] - events, before.get(partition)
            since_s = known.since_s if known is not None and known.first == first else self._clock()
            if events:
                found[partition] = HeldBack(events, first, since_s)
        self._held_back = found

    # --- read by the health port ---

    @property
    def turn_age_s(self) -> float:
        return self._clock() - self._turned_at_s

    @property
    def end_age_s(self) -> float:
        """Infinite while no end is known."""
        return float("inf") if self._end_at_s is None else self._clock() - self._end_at_s

    @property
    def waited_s(self) -> Mapping[str, float]:
        waiting = self.waiting
        return {on: self._clock() - waiting.since_s if waiting and waiting.on == on else 0.0 for on in ("redis", "log")}

    @property
    def lag(self) -> dict[Partition, int]:
        """Of our partitions whose end is known."""
        end = self.end
        return {p: max(end[p] - at, 0) for p, at in self.positions.items() if p in end}

    @property
    def held_back(self) -> dict[Partition, int]:
        """Events of our partitions that open transactions keep from being read."""
        found = self._held_back
        return {p: found[p].events if p in found else 0 for p in self.positions}

    @property
    def held_back_s(self) -> float:
        """How long the first of these events has been held back; the maximum of all partitions."""
        found = self._held_back
        return max((self._clock() - found[p].since_s for p in self.positions if p in found), default=0.0)

    def oldest_unapplied_s(self, now_ms: float) -> float:
        """Age of the oldest unstored event, by the timestamp of the log; 0 where there is none."""
        oldest = self.oldest
        return max(now_ms - min(item.record.timestamp_ms for item in oldest), 0.0) / 1000 if oldest else 0.0

    def is_live(self) -> bool:
        """Returns False where a restart may help."""
        return self.turn_age_s <= TURN_MAX_S

    def problems(self) -> list[str]:
        """Returns why the projector is not ready; an empty list if it is."""
        waiting, lag = self.waiting, sum(self.lag.values())
        found = []
        if not self.is_live():
            found.append(f"the loop has been stuck for {self.turn_age_s:.0f} s")
        if waiting:
            found.append(f"waiting for {waiting.on}: {waiting.reason}")
        found += self.pending_rewrites
        if self.standing_by:
            found.append("another version of the read model is live")
        elif self.owned is None:
            found.append("not a member of the consumer group yet")
        elif self.end_age_s > END_AGE_MAX_S:
            found.append("the end of the log is unknown")
        elif lag > self.lag_max:
            found.append(f"{lag} events behind, READY_LAG_MAX is {self.lag_max}")
        if self.held_back_s > self.held_back_max_s:
            found.append(
                f"{sum(self.held_back.values())} events held back by an open transaction for {self.held_back_s:.0f} s, "
                f"READY_HELD_BACK_MAX_S is {self.held_back_max_s}"
            )
        return found
