"""A ledger of the records sent. Computes what the read model must hold at given positions. Imports no project code.

The expected content is a function of the positions alone: whatever happened before, every record before its partition's
position is applied once, and no other record.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tests import oracle, stored
from tests.fields import EVENT_FIELDS
from tests.readmodel import ReadModel

FATES = ("applied", "stale", "passed_over", "parked")
OURS = ("order.created", "order.updated")


class Line(NamedTuple):
    """One record. `event` is None for a record that breaks the contract."""

    offset: int
    event: oracle.Event | None


class Ledger:
    """`exact`: all events of a group are in one partition, and applied in its order: the stale ones are known."""

    def __init__(self, exact: bool = True) -> None:
        self.lines: dict[str, list[Line]] = {}
        self._exact = exact

    def note(self, partition: str, offset: int, event: oracle.Event | None) -> None:
        lines = self.lines.setdefault(partition, [])
        assert not lines or offset > lines[-1].offset
        lines.append(Line(offset, event))

    @property
    def ends(self) -> dict[str, int]:
        return {partition: lines[-1].offset + 1 for partition, lines in self.lines.items()}

    @property
    def records(self) -> int:
        return sum(len(lines) for lines in self.lines.values())

    def sent(self, positions: Mapping[str, int] | None = None) -> Iterator[tuple[str, Line]]:
        """Yields the records before `positions`; all of them by default."""
        for partition, lines in self.lines.items():
            for line in lines:
                if positions is None or line.offset < positions.get(partition, 0):
                    yield partition, line

    def check(self, found: ReadModel, complete: bool = True) -> None:
        """Raises AssertionError. `complete`: everything in the log must be applied."""
        if complete:
            assert dict(found.positions) == self.ends, "lost, or not applied yet"
        assert all(offset <= self.ends[partition] for partition, offset in found.positions.items())
        lines = list(self.sent(found.positions))
        self._check_documents(found, [line.event for _, line in lines if line.event])
        self._check_accounting(found, lines)

    def _check_documents(self, found: ReadModel, events: list[oracle.Event]) -> None:
        groups = oracle.groups(events)
        documents = {group_id: oracle.parse(document) for group_id, document in found.documents.items()}
        wrong = sorted(
            group_id for group_id in groups.keys() | documents.keys() if groups.get(group_id) != documents.get(group_id)
        )
        assert not wrong, f"{len(wrong)} groups: {wrong[0]}: {documents.get(wrong[0])} is not {groups.get(wrong[0])}"
        entries: dict[tuple[str, str], float] = {}
        for group in groups.values():
            entries |= oracle.entries(group)
        assert sorted(entries.items() ^ found.entries.items())[:3] == []
        texts = {group_id: stored.line(group) for group_id, group in groups.items()}
        assert sorted(texts.items() ^ found.texts.items())[:3] == []

    def _check_accounting(self, found: ReadModel, lines: list[tuple[str, Line]]) -> None:
        bad = {f"{partition}@{line.offset}" for partition, line in lines if line.event is None}
        assert sorted(bad ^ found.parked.keys())[:3] == []
        expected = fates(lines)
        for partition in found.positions:
            counted = {fate: found.tally.get(f"{partition}:{fate}", 0) for fate in FATES}
            wanted = {fate: expected.get((partition, fate), 0) for fate in FATES}
            assert found.tally.get(f"{partition}:received", 0) == sum(counted.values()) == sum(wanted.values()), (
                partition
            )
            if not self._exact:
                counted["applied"] += counted.pop("stale")
                wanted["applied"] += wanted.pop("stale")
            assert counted == wanted, partition


def fates(lines: list[tuple[str, Line]]) -> dict[tuple[str, str], int]:
    """Returns the number of records by (partition, fate), if they are applied in the order of `lines`."""
    known: dict[tuple[str, str], dict[str, Any]] = {}
    found: dict[tuple[str, str], int] = {}
    for partition, (_, event) in lines:
        if event is None:
            fate = "parked"
        elif event["type"] not in OURS:
            fate = "passed_over"
        else:
            order = known.setdefault((event["data"]["order_group_id"], event["data"]["id"]), {})
            fate = "applied" if _merge(order, event) else "stale"
        found[partition, fate] = found.get((partition, fate), 0) + 1
    return found


def _merge(order: dict[str, Any], event: oracle.Event) -> bool:
    """Returns whether the event has a newer value of any field. Its `updated_at` counts as a field."""
    revision = oracle.revision(event)
    newer = [
        field
        for field in ("updated_at", *EVENT_FIELDS)
        if field in event["data"] and (field not in order or revision > order[field])
    ]
    order.update(dict.fromkeys(newer, revision))
    return bool(newer)
