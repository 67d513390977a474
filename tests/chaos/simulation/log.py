"""The log in memory, as one process sees it, and the group that shares its partitions."""

from collections.abc import Callable, Mapping
from typing import Any

from events.errors import LogGap, LogUnavailable
from events.logs.log import Entry, Loss, Partition, Polled, Position, Record
from tests.chaos.simulation.world import Process, World

# A member that has been silent for so long has died, in seconds.
SESSION_S = 10.0
# How many records one poll hands out of a partition at most.
RECORDS_MAX = 6


class Topic:
    """What the brokers have. `granted`: partition -> the process that may read it, until it lets go or has died."""

    def __init__(self, world: World, partitions: int) -> None:
        self.world = world
        self.identity = "log-0"
        self.records: dict[Partition, list[Record]] = {}
        self.first: dict[Partition, int] = {}
        self.committed: dict[Partition, int] = {}
        self.down_until_s = 0.0
        # How often all connections broke.
        self.interruptions = 0
        self.on_mark: Callable[[Partition, int], None] = lambda partition, offset: None
        # Records are not handed out, though the brokers answer.
        self.is_deaf = False
        # Partitions are spread over them by turns; reshuffled when members come and go.
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

    def put_back(self, partition: Partition, records: list[Record]) -> None:
        """Whoever is connected learns no more than that the connection broke."""
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
        """As retention does it."""
        self.first[partition] = min(first, self.end(partition))
        self.records[partition] = [record for record in self.records[partition] if record.offset >= first]

    def rebalance(self) -> None:
        shuffled = list(self.members)
        self.world.chance.shuffle(shuffled)
        self.owner = {p: shuffled[p.number % len(shuffled)] for p in self.records} if shuffled else {}

    def seen(self, process: Process) -> None:
        """It is a member, and lives."""
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
    """A Log for one process, as far as a projector needs it."""

    topic = "orders"

    def __init__(self, topic: Topic, process: Process) -> None:
        self._topic = topic
        self._process = process

    def ask(self) -> None:
        """Of the brokers. Raises LogUnavailable."""
        self._process.turn()
        world = self._topic.world
        if world.now_s < self._topic.down_until_s:
            self._process.turn(0.05)
            raise LogUnavailable("simulated: no broker answers")

    def create(self) -> bool:
        self.ask()
        return False

    def held_back(self, end: Mapping[Partition, int]) -> dict[Partition, int]:
        return dict.fromkeys(end, 0)

    def losses(self) -> dict[Loss, str]:
        return {}

    def partitions(self) -> list[Partition]:
        self.ask()
        return list(self._topic.records)

    def first(self) -> dict[Partition, int]:
        self.ask()
        return dict(self._topic.first)

    def end(self) -> dict[Partition, int]:
        self.ask()
        return {partition: self._topic.end(partition) for partition in self._topic.records}

    def identity(self) -> str:
        self.ask()
        return self._topic.identity

    def at(self, offsets: Mapping[Partition, int]) -> dict[Partition, Record | None]:
        self.ask()
        there = {p: {record.offset: record for record in self._topic.records[p]} for p in offsets}
        return {partition: there[partition].get(offset) for partition, offset in offsets.items()}

    def subscribe(self) -> "SimulatedSubscription":
        return SimulatedSubscription(self._topic, self, self._process)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a projector has no use for Log.{name}")


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
        self._log.ask()
        topic = self._topic
        if self._interruptions != topic.interruptions:
            self._interruptions = topic.interruptions
            return Polled([], [], interrupted=True)
        topic.seen(self._process)
        before = set(self._owned)
        self._take_and_give()
        records: list[Record] = []
        for partition in topic.world.chance.sample(sorted(self._next), len(self._next)):
            records += self._some(partition, min(RECORDS_MAX, max_records - len(records)))
        unsought = sorted(self._owned - self._next.keys() - self._paused)
        if not records and not unsought and timeout_s:
            self._process.turn(timeout_s)
        return Polled(unsought, records, sorted(before - self._owned))

    def _take_and_give(self) -> None:
        """What is not ours any more is let go at once; what is ours comes once its owner has let go, or has died."""
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
