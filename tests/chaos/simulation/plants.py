"""Bugs that the tests plant into the core, the main loop or the commit. Some simulated life must find each of them.

Some bugs are missing because another check makes them harmless: a cache filled before the commit (the revision is
compared), a loop that takes CHANGED, AHEAD or a time-out for STORED (the next position is compared, and unstored
records are read again), and a log identity that is not checked (applied records are compared). They are planted
together with the removal of that other check.

Bugs of the bulk build are planted in tests/integration/test_bulk_planted.py.
"""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any
from unittest.mock import patch

from events.errors import LogUnavailable
from events.logs.log import Loss, Polled, Position
from projector.anchors import Anchors
from projector.errors import StoreUnavailable
from projector.fold.merge import merge
from projector.pipeline import Pipeline
from projector.project import Change, project
from projector.readmodel.record.order import Order
from projector.run import Projector
from projector.store.commit import Advance, Outcome
from tests.chaos.simulation.log import SimulatedSubscription
from tests.chaos.simulation.redis import SimulatedCommit
from tests.chaos.simulation.request import by, parsed
from tests.chaos.simulation.store import Memory, Shard

# Name -> a function that plants the bug until the stack is closed.
PLANTS: dict[str, Callable[[ExitStack], None]] = {}


def plant(*replacements: tuple[Any, str, Any]) -> Callable[[ExitStack], None]:
    def put(stack: ExitStack) -> None:
        for owner, name, replacement in replacements:
            by_name = patch(f"{owner}.{name}", replacement) if isinstance(owner, str) else None
            stack.enter_context(by_name or patch.object(owner, name, replacement))

    return put


def together(*plants: Callable[[ExitStack], None]) -> Callable[[ExitStack], None]:
    def put(stack: ExitStack) -> None:
        for one in plants:
            one(stack)

    return put


def nothing(*_: object, **__: object) -> None:
    return None


_elsewhere, _content, _progress, _run = Memory.elsewhere, Memory.content, Memory.progress, Memory.run
_outcome, _seek, _items_of = SimulatedCommit.outcome, SimulatedSubscription.seek, Pipeline._items_of


def forget_the_note(self: Memory, part: Shard, arguments: Any, tear: Any = None) -> Outcome | None:
    """A half written commit is not completed."""
    part.note = None
    return None


def accept(wrong: Outcome) -> Callable[..., Outcome | None]:
    def elsewhere(self: Memory, part: Any, positions: Any) -> Outcome | None:
        found = _elsewhere(self, part, positions)
        return None if found is wrong and "version" in part.meta else found

    return elsewhere


PLANTS["a half written commit is not completed"] = plant((Memory, "redo", forget_the_note))
PLANTS["no position check"] = plant((Memory, "elsewhere", nothing))
PLANTS["BEHIND is not noticed"] = plant((Memory, "elsewhere", accept(Outcome.BEHIND)))
PLANTS["AHEAD is not noticed"] = plant((Memory, "elsewhere", accept(Outcome.AHEAD)))
PLANTS["ALREADY is not noticed"] = plant((Memory, "elsewhere", accept(Outcome.ALREADY)))
PLANTS["no revision check"] = plant((Memory, "changed", nothing))


def of_any_nonce(self: Memory, generation: Any, part: Any) -> Outcome | None:
    return Outcome.SEALED if "sealed" in part.meta else None


def not_sealed(self: Memory, generation: Any, part: Any) -> Outcome | None:
    return Outcome.SEALED if part.meta.get("nonce", generation.nonce) != generation.nonce else None


PLANTS["no generation check"] = plant((Memory, "closed", of_any_nonce))
PLANTS["no check of the seal"] = plant((Memory, "closed", not_sealed))


def in_two_calls(second: str) -> Callable[[ExitStack], None]:
    """The script leaves out `second`, which is called later, unless the process dies before."""
    whole = getattr(Memory, second)

    def outcome(self: SimulatedCommit) -> Outcome:
        found = _outcome(self)
        if found is Outcome.STORED:
            self._process.turn()
            memory, wire = self._server.memory, self._first
            part = memory.shard(wire.generation, wire.shard)
            for step in whole(memory, part, memory.note(part, wire.arguments, parsed(wire.arguments))):
                step()
        return found

    return plant((Memory, second, lambda *_: []), (SimulatedCommit, "outcome", outcome))


PLANTS["position in a second call"] = in_two_calls("progress")
PLANTS["position in a first call"] = in_two_calls("content")


def without(name: str, *keys: str) -> Callable[[ExitStack], None]:
    """The script leaves out this command on keys that begin so."""

    def run(self: Memory, part: Shard, command: str, key: str, arguments: Any) -> None:
        if command != name or not key.startswith(keys):
            _run(self, part, command, key, arguments)

    return plant((Memory, "run", run))


PLANTS["a forgotten ZREM"] = without("ZREM", "")
PLANTS["a forgotten HDEL"] = without("HDEL", "row")
PLANTS["bad events are not parked"] = without("HSET", "parked")
PLANTS["bad events are not counted"] = plant((Memory, "counted", lambda self, part, name, records: 0))


def without_bits(start: str) -> Callable[[ExitStack], None]:
    """The script does not write bitmaps that begin so."""

    def set_bits(self: Memory, part: Shard, bitmap: str, found: Any) -> None:
        if not bitmap.startswith(start) or bitmap not in part.bits:
            _set_bits(self, part, bitmap, found)

    return plant((Memory, "set_bits", set_bits))


_set_bits = Memory.set_bits
PLANTS["a slice is not written"] = without_bits("bits:by:total")
PLANTS["the bitmap of a value is not written once it is there"] = without_bits("bits:of:")
PLANTS["texts are not written"] = plant((Memory, "splice", nothing))


def splice_alone(self: Memory, part: Shard, chunk: int, lines: Any) -> None:
    """Other groups of the chunk are as the writer knew them: not there."""
    part.hash("text").pop(str(chunk).encode(), None)
    _splice(self, part, chunk, lines)


_splice = Memory.splice
PLANTS["a chunk of texts is written whole"] = plant((Memory, "splice", splice_alone))


def set_count(self: Memory, part: Shard, name: str, records: int) -> int:
    return records


PLANTS["each batch resets the counts of records"] = plant((Memory, "counted", set_count))


def add_new_only(self: Memory, part: Shard, command: str, key: str, arguments: Any) -> None:
    if command == "ZADD":
        known = part.zset(key)
        arguments = [one for pair in by(2, arguments) if pair[1] not in known for one in pair]
    _run(self, part, command, key, arguments)


PLANTS["a score is not updated"] = plant((Memory, "run", add_new_only))


def with_stale_index(before: Any, batch: Any, now: str | None = None) -> Change:
    """What is known of the indexes stays as it was loaded."""
    indexed = {group_id: known.indexed for group_id, known in before.items()}
    change = project(before, batch, now)
    for group_id, known in change.after.items():
        known.indexed = indexed[group_id]
    return change


PLANTS["a flip is prepared from a stale entry"] = plant(("projector.pipeline", "project", with_stale_index))
PLANTS["an ordinal is given twice"] = plant((Memory, "taken", nothing))


def last_to_come_wins(order: Order, event: Any) -> bool:
    order.revisions = [None] * len(order.revisions)
    return merge(order, event)


def without_tie_break(order: Order, event: Any) -> bool:
    if event.revision[:2] == order.latest[:2]:
        return False
    return merge(order, event)


PLANTS["the last arrival wins"] = plant(("projector.project", "merge", last_to_come_wins))
PLANTS["no tie-break"] = plant(("projector.project", "merge", without_tie_break))
PLANTS["deleted orders count"] = plant((Order, "counted", property(lambda order: None not in order.values[:4])))


def far_mark(self: Projector, subscription: Any) -> None:
    """Marks what is in flight."""
    self._marked_at_s = self._stop._process.world.now_s  # type: ignore[attr-defined]
    reached = {partition: self._pipeline.highest(partition) for partition in self._pipeline.partitions}
    for flight in self._pipeline._flights:
        reached |= {partition: advance.stop for partition, advance in flight.projected.advances.items()}
    subscription.mark(reached)
    with suppress(LogUnavailable, StoreUnavailable):
        self._store.publish_end(self._pipeline.generation, self._log.end())


def own_lag(self: Projector, subscription: Any) -> None:
    self._marked_at_s = self._stop._process.world.now_s  # type: ignore[attr-defined]
    reached = {p: self._pipeline.lowest(p) for p in self._pipeline.partitions}
    subscription.mark(reached)
    with suppress(StoreUnavailable):
        self._store.publish_end(self._pipeline.generation, reached)


def seek_marked(self: SimulatedSubscription, position: Position) -> None:
    marked = self._topic.committed.get(position.partition, 0)
    _seek(self, Position(position.partition, max(position.offset, marked)))


def never_seek_back(self: SimulatedSubscription, position: Position) -> None:
    known = self._next.get(position.partition, 0)
    _seek(self, Position(position.partition, max(position.offset, known)))


PLANTS["commit to Kafka before Redis"] = plant((Projector, "_mark", far_mark))
PLANTS["lag from our own mark"] = plant((Projector, "_mark", own_lag))
PLANTS["reading begins at the offset committed to Kafka"] = plant((SimulatedSubscription, "seek", seek_marked))
PLANTS["the log is not read again"] = plant((SimulatedSubscription, "seek", never_seek_back))
PLANTS["Redis is not checked while the log is idle"] = plant((Pipeline, "check", nothing))


def uninterrupted(self: SimulatedSubscription, timeout_s: float, max_records: int) -> Polled:
    return _poll(self, timeout_s, max_records)._replace(interrupted=False)


_poll = SimulatedSubscription.poll
PLANTS["a restored log is compared too late"] = plant((SimulatedSubscription, "poll", uninterrupted))
PLANTS["the log is not compared with what was applied"] = plant((Projector, "_compare", nothing))
PLANTS["neither the log's identity nor its records are compared"] = together(
    plant((Projector, "_check_identity", nothing)), PLANTS["the log is not compared with what was applied"]
)


def accepting(self: Projector, *arguments: Any) -> None:
    _init(self, *arguments)
    self._accept_loss = frozenset(Loss)


_init = Projector.__init__
PLANTS["a gap in the log is skipped"] = plant((Projector, "__init__", accepting))


def shifted(by: int) -> Callable[[int | None, int, Anchors | None], Advance]:
    return lambda start, stop, last: Advance(start, stop + by, last)


PLANTS["a position too far"] = plant(("projector.trail", "Advance", shifted(1)))
PLANTS["a position too short"] = plant(("projector.trail", "Advance", shifted(-1)))


def forget_positions(self: Pipeline, partitions: Any) -> None:
    for positions in self._positions:
        positions.update(dict.fromkeys(partitions))


def farthest(self: Pipeline, partition: Any) -> int:
    return max(positions[partition] or 0 for positions in self._positions)


def items_twice(self: Pipeline, shard: int, starts: Any, decoded: Any) -> Any:
    return _items_of(self, shard, dict.fromkeys(starts), decoded)


def items_of_all(self: Pipeline, shard: int, starts: Any, decoded: Any) -> Any:
    return [item for item in decoded if item.record.offset >= (starts[item.record.partition] or 0)]


PLANTS["Redis' positions are not read"] = plant((Pipeline, "start", forget_positions))
PLANTS["reading begins at the position of the farthest shard"] = plant((Pipeline, "lowest", farthest))
PLANTS["a shard that is ahead gets its records again"] = plant((Pipeline, "_items_of", items_twice))
PLANTS["each shard gets all records"] = plant((Pipeline, "_items_of", items_of_all))


def fill_early(self: Pipeline, projected: Any) -> None:
    parts = list(projected)
    for part in parts:
        self._cache.put(part.after)
    _send(self, parts)


_send = Pipeline._send
PLANTS["cache filled before the commit, no revision check"] = together(
    plant((Pipeline, "_send", fill_early)), PLANTS["no revision check"]
)


def stored_if_not(outcome: Callable[[SimulatedCommit], Outcome], wrong: Outcome | None) -> Callable[..., Outcome]:
    def found(self: SimulatedCommit) -> Outcome:
        try:
            answer = outcome(self)
        except StoreUnavailable:
            if wrong:
                raise
            return Outcome.STORED
        return Outcome.STORED if answer is wrong else answer

    return found


BEHIND_UNNOTICED = PLANTS["BEHIND is not noticed"]
PLANTS["CHANGED counts as stored, BEHIND is not noticed"] = together(
    plant((SimulatedCommit, "outcome", stored_if_not(_outcome, Outcome.CHANGED))), BEHIND_UNNOTICED
)
PLANTS["a time-out counts as stored, BEHIND is not noticed"] = together(
    plant((SimulatedCommit, "outcome", stored_if_not(_outcome, None))), BEHIND_UNNOTICED
)
