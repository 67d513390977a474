"""Reads what an action depends on, in the form of its `expected`."""

from collections.abc import Sequence
from typing import Any

from projector.errors import BadSetting
from projector.parked.listing import Entry, entries, with_reason
from projector.readmodel.schema.actions import (
    Action,
    Chosen,
    Discard,
    Drop,
    Redrive,
    Replay,
    Rollback,
    Switch,
    active,
)
from projector.readmodel.schema.generations import state_of
from projector.readmodel.schema.keys import Generation
from projector.replay.plan import unfinished
from projector.store.redis import Store


def observe(store: Store, action: Action) -> dict[str, Any]:
    """Returns the state on which the operator decides. Raises BadSetting, StoreUnavailable."""
    live = store.catalogue.live()
    return {"active": active(live) if live else None, **_more(store, live, action)}


def chosen(store: Store, live: Generation, which: Chosen) -> Sequence[Entry]:
    """Returns the parked events that are chosen, by position."""
    found = entries(store, live)
    if which.positions is not None:
        wanted = frozenset(which.positions)
        return [entry for entry in found if entry.position in wanted]
    return found if which.reason is None else with_reason(found, which.reason)


def _more(store: Store, live: Generation | None, action: Action) -> dict[str, Any]:
    match action:
        case Redrive() | Discard():
            found = chosen(store, live, action.arguments) if live else []
            if action.arguments.positions is not None:
                return {"parked": {entry.position: entry.digest for entry in found}}
            return {"count": len(found)}
        case Replay():
            begun = unfinished(store.catalogue.listed(), live)
            if begun is None:
                return {"number": store.catalogue.next_number(), "state": "new"}
            return {"number": begun.generation.number, "state": str(begun.state)}
        case Switch():
            begun = unfinished(store.catalogue.listed(), live)
            if begun is None:
                raise BadSetting("there is no generation to switch to: request a replay first")
            return {"number": begun.generation.number, "state": str(begun.state), "differences": begun.differences}
        case Rollback() | Drop():
            entry = store.catalogue.find(action.arguments.number)
            if entry is None:
                raise BadSetting(f"there is no generation {action.arguments.number}")
            return {"state": state_of(entry, live)}
