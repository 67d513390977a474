"""Batches of events, loaded, projected and committed like the main loop, and what tests change of the commit script."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from events.logs.log import Partition, Record
from projector.project import Stored, decode_record, group_ids, project
from projector.readmodel.client.script import Script
from projector.readmodel.schema.keys import Generation
from projector.store import commit as scripts
from projector.store import pending
from projector.store.commit import Advance, Outcome
from projector.store.request import request

ORDERS = Partition("orders", 0)
OTHER = Partition("orders", 1)

Loaded = Mapping[str, Stored | None]


def prepared(
    store: Any,
    generation: Generation,
    events: Sequence[Any],
    start: int | None,
    partition: Partition = ORDERS,
    loaded: Loaded | None = None,
) -> list[str | bytes]:
    """`loaded` replaces the load."""
    values = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in events]
    batch = [
        decode_record(Record(partition, offset, 0, None, value)) for offset, value in enumerate(values, start or 0)
    ]
    if loaded is None:
        loaded = store.load(generation, 0, ids) if (ids := group_ids(batch)) else {}
    change = project(store.known(generation, 0, loaded), batch)
    return request(change, {partition: Advance(start, (start or 0) + len(events))})


def commit(
    store: Any,
    generation: Generation,
    events: Sequence[Any],
    start: int | None,
    partition: Partition = ORDERS,
    loaded: Loaded | None = None,
) -> Outcome:
    return send(store, generation, prepared(store, generation, events, start, partition, loaded))


def send(store: Any, generation: Generation, prepared: Sequence[str | bytes]) -> Outcome:
    outcome: Outcome = store.commit(generation, 0, prepared).outcome()
    return outcome


def replace_in_script(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    """Changes the commit script of this process."""
    assert scripts.COMMIT.text.count(old) == 1
    script = Script(scripts.COMMIT.text.replace(old, new))
    monkeypatch.setattr(scripts, "COMMIT", script)
    monkeypatch.setattr(pending, "COMMIT", script)
    even_if_full = Script(script.text.replace("#!lua", "#!lua flags=allow-oom", 1))
    monkeypatch.setattr(pending, "COMMIT_EVEN_IF_FULL", even_if_full)


def make_values_broad(monkeypatch: pytest.MonkeyPatch, groups: int) -> None:
    """Gives values of so few groups a bitmap, in Redis and in the simulation."""
    replace_in_script(monkeypatch, "BROAD_GROUPS_MIN = 1024", f"BROAD_GROUPS_MIN = {groups}")
    monkeypatch.setattr("tests.chaos.simulation.store.BROAD_GROUPS_MIN", groups)
