"""What the loop says of itself. It writes, once a turn or once a second; the thread of the health port reads.

Every attribute is replaced as a whole, so that nothing needs a lock: what is read is of this moment or of the last one.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from msgspec import Struct

from events.logs.log import Partition
from projector.project import Decoded
from projector.readmodel.schema.generations import Progress

# A loop that has made no turn for so long is stuck, in seconds. Every call that it makes ends sooner, waiting for Redis
# or the log counts as turning, and after that time Kafka gives its partitions to others.
TURN_MAX_S = 60.0
# What the log's end is compared with is no older than this, in seconds, or the lag is unknown.
END_AGE_MAX_S = 10.0
# How long an open transaction may hold events back before we are not ready, in seconds.
HELD_BACK_MAX_S = 120


class Waiting(Struct, frozen=True):
    """`on`: redis or log."""

    on: str
    reason: str
    since_s: float


class Seen(Struct, frozen=True):
    """Of Redis, some seconds ago. `generation`: the one we write. `states`: how many generations there are of each."""

    generation: int | None = None
    parked: int = 0
    states: Mapping[str, int] = {}
    replay: Progress | None = None


class HeldBack(Struct, frozen=True):
    """`events`: how many. `first`: the offset of the first of them, which has been held back since `since_s`."""

    events: int
    first: int
    since_s: float


class Pulse:
    """We are ready while our partitions lag at most `lag_max` events, and no open transaction has held events back for
    longer than `held_back_max_s`.
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
        # The rewrites of append-only files that are still waited for, in words.
        self.unhealed: Sequence[str] = ()
        # None: not, or not yet, a member of the group that shares the log.
        self.owned: AbstractSet[Partition] | None = None
        # Of our partitions: what every shard has stored, and where the log ends.
        self.positions: Mapping[Partition, int] = {}
        self.end: Mapping[Partition, int] = {}
        self._held_back: Mapping[Partition, HeldBack] = {}
        # The batch that has been under way for longest.
        self.oldest: Sequence[Decoded] = ()
        self.seen = Seen()
        # Of our partitions: about what their parked events take in Redis.
        self.parked_bytes: Mapping[Partition, int] = {}

    # --- the loop's side ---

    def turn(self) -> None:
        self._turned_at_s = self._clock()

    def wait(self, on: str, reason: str) -> None:
        """With every attempt that failed."""
        self.turn()
        since_s = self.waiting.since_s if self.waiting else self._clock()
        self.waiting = Waiting(on, reason, since_s)

    def go_on(self) -> float:
        """How long was waited, in seconds."""
        waiting, self.waiting = self.waiting, None
        return self._clock() - waiting.since_s if waiting else 0.0

    def mark(self, owned: AbstractSet[Partition] | None, positions: Mapping[Partition, int]) -> None:
        self.owned, self.positions = owned, positions

    def tell_end(self, end: Mapping[Partition, int], held_back: Mapping[Partition, int]) -> None:
        """`held_back`: events before the end that an open transaction keeps from being read."""
        self.end, self._end_at_s = end, self._clock()
        before, found = self._held_back, {}
        for partition, events in held_back.items():
            first, known = end[partition] - events, before.get(partition)
            since_s = known.since_s if known is not None and known.first == first else self._clock()
            if events:
                found[partition] = HeldBack(events, first, since_s)
        self._held_back = found

    # --- the readers' side ---

    @property
    def turn_age_s(self) -> float:
        return self._clock() - self._turned_at_s

    @property
    def end_age_s(self) -> float:
        """Infinite before the first."""
        return float("inf") if self._end_at_s is None else self._clock() - self._end_at_s

    @property
    def waited_s(self) -> Mapping[str, float]:
        waiting = self.waiting
        return {on: self._clock() - waiting.since_s if waiting and waiting.on == on else 0.0 for on in ("redis", "log")}

    @property
    def lag(self) -> dict[Partition, int]:
        """Of our partitions, so far as both sides are known."""
        end = self.end
        return {p: max(end[p] - at, 0) for p, at in self.positions.items() if p in end}

    @property
    def held_back(self) -> dict[Partition, int]:
        """Events of our partitions that the log keeps from us, because of open transactions."""
        found = self._held_back
        return {p: found[p].events if p in found else 0 for p in self.positions}

    @property
    def held_back_s(self) -> float:
        """How long the log has held back the first of these events by now; the longest of all partitions."""
        found = self._held_back
        return max((self._clock() - found[p].since_s for p in self.positions if p in found), default=0.0)

    def oldest_unapplied_s(self, now_ms: float) -> float:
        """Its age by the log's own timestamp; 0 where nothing is under way."""
        oldest = self.oldest
        return max(now_ms - min(item.record.timestamp_ms for item in oldest), 0.0) / 1000 if oldest else 0.0

    def is_live(self) -> bool:
        """Whether a restart would not help."""
        return self.turn_age_s <= TURN_MAX_S

    def troubles(self) -> list[str]:
        """Why it is not ready; nothing where it is."""
        waiting, lag = self.waiting, sum(self.lag.values())
        found = []
        if not self.is_live():
            found.append(f"the loop has made no turn for {self.turn_age_s:.0f} s")
        if waiting:
            found.append(f"waiting for {waiting.on}: {waiting.reason}")
        found += self.unhealed
        if self.standing_by:
            found.append("another version of the read model is live")
        elif self.owned is None:
            found.append("no member of the group yet that shares the log")
        elif self.end_age_s > END_AGE_MAX_S:
            found.append("the end of the log is not known")
        elif lag > self.lag_max:
            found.append(f"{lag} events behind, READY_LAG_MAX is {self.lag_max}")
        if self.held_back_s > self.held_back_max_s:
            found.append(
                f"{sum(self.held_back.values())} events held back by an open transaction for {self.held_back_s:.0f} s, "
                f"READY_HELD_BACK_MAX_S is {self.held_back_max_s}"
            )
        return found
