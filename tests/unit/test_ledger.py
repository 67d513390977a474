"""The ledger of the chaos tests must detect every kind of error."""

import json
from typing import Any

import pytest

from tests import oracle, stored
from tests.chaos.ledger import Ledger
from tests.poison import event
from tests.readmodel import ReadModel

SENT = [event(1), event(2), event(1), {**event(3), "type": "order.placed"}, None, event(4)]


def ledger() -> Ledger:
    made = Ledger()
    for offset, sent in enumerate(SENT):
        made.note("orders/0", offset, sent)
    return made


def correct(stop: int = len(SENT)) -> ReadModel:
    """Returns the correct content after `stop` records."""
    groups = oracle.groups(sent for sent in SENT[:stop] if sent)
    tally = {"received": stop, "applied": 2 + (stop > 5), "stale": 1, "passed_over": 1, "parked": 1}
    return ReadModel(
        {group_id: json.dumps(group, default=float).encode() for group_id, group in groups.items()},
        {entry: score for group in groups.values() for entry, score in oracle.entries(group).items()},
        {group_id: stored.line(group) for group_id, group in groups.items()},
        {"orders/0": stop},
        {f"orders/0:{fate}": records for fate, records in tally.items()},
        {"orders/0@4": b"{}"},
        {},
    )


def test_correct_content_passes() -> None:
    ledger().check(correct())
    ledger().check(correct(5), complete=False)


def other(**parts: Any) -> ReadModel:
    return correct()._replace(**parts)


@pytest.mark.parametrize(
    "wrong",
    [
        correct(5),
        other(documents={}),
        other(documents={**correct().documents, "og_9": correct().documents["og_1"]}),
        other(documents={**correct().documents, "og_1": correct().documents["og_2"]}),
        other(entries={}),
        other(entries={**correct().entries, ("by:created_at", "og_9"): 1.0}),
        other(entries={**correct().entries, ("by:created_at", "og_1"): 1.0}),
        other(texts={}),
        other(texts={**correct().texts, "og_1": b"og_1"}),
        other(positions={"orders/0": 7}),
        other(positions={}),
        other(parked={}),
        other(parked={**correct().parked, "orders/0@5": b"{}"}),
        other(tally={**correct().tally, "orders/0:received": 7}),
        other(tally={**correct().tally, "orders/0:received": 7, "orders/0:applied": 4}),
        other(tally={**correct().tally, "orders/0:stale": 0, "orders/0:applied": 4}),
    ],
)
def test_wrong_content_fails(wrong: ReadModel) -> None:
    with pytest.raises(AssertionError):
        ledger().check(wrong)
