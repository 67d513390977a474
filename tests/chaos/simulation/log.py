"""The simulated log: a topic and its consumer group in memory, and the view of one process."""

from collections.abc import Callable, Mapping
from typing import Any

from events.errors import LogGap, LogUnavailable
from events.logs.log import Entry, Loss, Partition, Polled, Position, Record
from tests.chaos.simulation.world import Process, World

# A member without a poll for so long counts as dead, in seconds.
SESSION_S = 10.0
# The most records of a partition per poll.
RECORDS_MAX = 6


class Topic:
    """The brokers' data. `granted`: partition -> the process that may read it, until it releases it or dies."""

    def __init__(self, world: World, partitions: int) -> None:
        self.world = world
        self.identity = "log-0"
        self.records: dict[Partition, list[Record]] = {}
        self.first: dict[Partition, int] = {}
        self.committed: dict[Partition, int] = {}
        self.down_until_s = 0.0
        # How often all connections have broken.
        self.interruptions = 0
        self.on_mark: Callable[[Partition, int], None] = lambda partition, offset: None
        # Brokers answer, but return no records.
        self.is_deaf = False
        # Partitions are assigned round-robin, and reassigned when members join or leave.
        self.members: list[Process] = []
        self.seen_s: dict[Process, float] = {}
        self.owner: dict[Partition, Process] = {}
        self.granted: dict[Partition, Process] = {}
        for _ in range(partitions):
            self.add_partition()

    def add_partition(self) -> None:
        partition = Partition("orders", len(self.records))
        self.records[partition] = []
        self.first[partition] = 0
        self.rebalance()

    def restore(self, partition: Partition, records: list[Record]) -> None:
        """Restores a backup. Connected processes only see a broken connection."""
        self.records[partition] = records
        self.interruptions += 1

    def append(self, partition: Partition, entry: Entry) -> int:
        lines = self.records[partition]
        offset = self.end(partition)
        lines.append(Record(partition, offset, 1_780_000_000_000, entry.key, entry.value, entry.headers))
        return offset

    def end(self, partition: Partition) -> int:
        lines = self.records[partition]
        return lines[-1].offset + 1 if lines else self.first[partition]

    def truncate(self, partition: Partition, first: int) -> None:
        """Drops old records, as retention does."""
        self.first[partition] = min(first, self.end(partition))
        self.records[partition] = [record for record in self.records[partition] if record.offset >= first]

    def rebalance(self) -> None:
        shuffled = list(self.members)
        self.world.chance.shuffle(shuffled)
        self.owner = {p: shuffled[p.number % len(shuffled)] for p in self.records} if shuffled else {}

    def heartbeat(self, process: Process) -> None:
        """Makes the process a member, if it is none, and removes dead members."""
        self.seen_s[process] = self.world.now_s
        if process not in self.members:
            self.members.append(process)
            self.rebalance()
        dead = [member for member in self.members if self.world.now_s - self.seen_s[member] > SESSION_S]
        for member in dead:
            self.leave(member)

    def leave(self, process: Process) -> None:
        if process in self.members:
            self.members.remove(process)
            self.granted = {p: member for p, member in self.granted.items() if member is not process}
            self.rebalance()


class SimulatedLog:
    """The part of Log that a projector uses, for one process."""

    topic = "orders"

    def __init__(self, topic: Topic, process: Process) -> None:
        self._topic = topic
        self._process = process

    def request(self) -> None:
        """Simulates a request to the brokers. Raises LogUnavailable."""
        self._process.turn()
        world = self._topic.world
        if world.now_s < self._topic.down_until_s:
            self._process.turn(0.05)
            raise LogUnavailable("simulated: no broker answers")

    def create(self) -> bool:
        self.request()
        return False

    def held_back(self, end: Mapping[Partition, int]) -> dict[Partition, int]:
        return dict.fromkeys(end, 0)

    def losses(self) -> dict[Loss, str]:
        return {}

    def partitions(self) -> list[Partition]:
        self.request()
        return list(self._topic.records)

    def first(self) -> dict[Partition, int]:
        self.request()
        return dict(self._topic.first)

    def end(self) -> dict[Partition, int]:
        self.request()
        return {partition: self._topic.end(partition) for partition in self._topic.records}

    def identity(self) -> str:
        self.request()
        return self._topic.identity

    def at(self, offsets: Mapping[Partition, int]) -> dict[Partition, Record | None]:
        self.request()
        records = {p: {record.offset: record for record in self._topic.records[p]} for p in offsets}
        return {partition: records[partition].get(offset) for partition, offset in offsets.items()}

    def subscribe(self) -> "SimulatedSubscription":
        return SimulatedSubscription(self._topic, self, self._process)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a projector does not call Log.{name}")


class SimulatedSubscription:
    def __init__(self, topic: Topic, log: SimulatedLog, process: Process) -> None:
        self._topic = topic
        self._log = log
        self._process = process
        self._owned: set[Partition] = set()
        self._next: dict[Partition, int] = {}
        self._paused: set[Partition] = set()
        self._interruptions = topic.interruptions

    def poll(self, timeout_s: float, max_records: int) -> Polled:
        self._log.request()
        topic = self._topic
        if self._interruptions != topic.interruptions:
            self._interruptions = topic.interruptions
            return Polled([], [], interrupted=True)
        topic.heartbeat(self._process)
        before = set(self._owned)
        self._rebalance()
        records: list[Record] = []
        for partition in topic.world.chance.sample(sorted(self._next), len(self._next)):
            records += self._some(partition, min(RECORDS_MAX, max_records - len(records)))
        unsought = sorted(self._owned - self._next.keys() - self._paused)
        if not records and not unsought and timeout_s:
            self._process.turn(timeout_s)
        return Polled(unsought, records, sorted(before - self._owned))

    def _rebalance(self) -> None:
        """Releases partitions that are no longer ours, and takes ours that their previous owner has released."""
        topic, process = self._topic, self._process
        for partition in sorted(self._owned):
            if topic.owner.get(partition) is not process or topic.granted.get(partition) is not process:
                self._owned.discard(partition)
                self._next.pop(partition, None)
                if topic.granted.get(partition) is process:
                    del topic.granted[partition]
        for partition, owner in topic.owner.items():
            if owner is process and partition not in self._owned and partition not in topic.granted:
                topic.granted[partition] = process
                self._owned.add(partition)

    def _some(self, partition: Partition, most: int) -> list[Record]:
        topic, start = self._topic, self._next[partition]
        first, end = topic.first[partition], topic.end(partition)
        if not first <= start <= end:
            raise LogGap(f"simulated: {partition}@{start} is not in {first} to {end}")
        number = topic.world.chance.randint(0, max(most, 0))
        records = [] if topic.is_deaf else topic.records[partition][start - first : start - first + number]
        if records:
            self._next[partition] = records[-1].offset + 1
        return records

    def seek(self, position: Position) -> None:
        self._paused.discard(position.partition)
        if position.partition in self._owned:
            self._next[position.partition] = position.offset

    def pause(self, partition: Partition) -> None:
        self._next.pop(partition, None)
        self._paused.add(partition)

    def owned(self) -> set[Partition]:
        return set(self._owned)

    def mark(self, positions: Mapping[Partition, int]) -> None:
        for partition, offset in positions.items():
            if partition in self._owned:
                self._topic.on_mark(partition, offset)
                self._topic.committed[partition] = offset

    def close(self) -> None:
        if not self._process.is_killed:
            self._topic.leave(self._process)
