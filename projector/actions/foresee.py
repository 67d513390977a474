"""Says what an action would do, and changes nothing."""

from collections import Counter
from typing import Any

import msgspec

from events.logs.log import Log, Loss
from projector.actions.observe import chosen
from projector.errors import BadSetting
from projector.parked.listing import by_reason
from projector.parked.redrive import preview
from projector.readmodel.schema.actions import (
    Action,
    Build,
    Chosen,
    Discard,
    Drop,
    Redrive,
    Replay,
    Rollback,
    Switch,
)
from projector.replay.plan import Plan, make_plan, unfinished
from projector.settings import Settings
from projector.store import memory
from projector.store.redis import Store

_MIB = 1024**2

Foreseen = tuple[str, dict[str, Any]]


def foresee(log: Log, store: Store, settings: Settings, action: Action) -> Foreseen:
    """Returns a sentence, and figures. Raises BadSetting, StoreUnavailable, and what the log raises."""
    match action:
        case Redrive():
            return _redrive(log, store, action.arguments)
        case Discard():
            return _discard(store, action.arguments)
        case Replay():
            return _replay(made_plan(log, store, settings, action.arguments))
        case Switch() | Rollback():
            return _active(store, action)
        case Drop():
            return _drop(store, action.arguments.number)


def made_plan(log: Log, store: Store, settings: Settings, build: Build) -> Plan:
    """Raises BadSetting for an unknown loss."""
    try:
        losses = [Loss(name) for name in build.accept_loss]
    except ValueError as error:
        raise BadSetting(f"accept_loss: expected {', '.join(Loss)}, got {error}") from None
    return make_plan(
        *(log, store.nodes, build.shards, build.workers, losses, build.force),
        personal_data=settings.keeps_personal_data,
    )


def _redrive(log: Log, store: Store, which: Chosen) -> Foreseen:
    live = store.catalogue.live()
    entries = chosen(store, live, which) if live else []
    reasons = preview(store, live, entries, None if live.personal_data else log) if live else {}
    stay = Counter(reason.split(", got ")[0] for reason in reasons.values() if reason is not None)
    text = f"applies {len(reasons) - stay.total()} of {len(reasons)} parked events; {stay.total()} would stay parked"
    return text, {"count": len(reasons), "stay": dict(stay.most_common())}


def _discard(store: Store, which: Chosen) -> Foreseen:
    live = store.catalogue.live()
    entries = chosen(store, live, which) if live else []
    text = f"discards {len(entries)} parked events: no redrive finds them any more, and a replay parks them again"
    return text, {"count": len(entries), "reasons": dict(by_reason(entries))}


def _replay(plan: Plan) -> Foreseen:
    if plan.refusals:
        text = "would be refused: " + "; ".join(f"{one.reason} (to override: {one.remedy})" for one in plan.refusals)
    else:
        shards = "shard" if plan.shards == 1 else "shards"
        does = "continues" if plan.resumes else "builds"
        compared = f", and compares it with generation {plan.live.number}" if plan.live else ""
        memory_mib = f"{plan.memory_needed / _MIB:,.0f} MiB of {plan.memory_free / _MIB:,.0f} MiB free"
        text = (
            f"{does} generation {plan.number} of {plan.shards} {shards} from {plan.events:,} events, in about "
            f"{max(plan.seconds, 1):,.0f} s and {memory_mib}"
            f"{compared}. Lists do not change before a switch"
        )
    figures = ("number", "shards", "resumes", "events", "memory_needed", "memory_free", "workers", "seconds", "kept")
    refusals = [msgspec.to_builtins(one) for one in plan.refusals]
    return text, {**{name: getattr(plan, name) for name in figures}, "refusals": refusals}


def _active(store: Store, action: Switch | Rollback) -> Foreseen:
    live, listed = store.catalogue.live(), store.catalogue.listed()
    entry = unfinished(listed, live) if isinstance(action, Switch) else store.catalogue.find(action.arguments.number)
    if entry is None:
        raise BadSetting("there is no such generation")
    groups = memory.groups(store.nodes, entry.generation)
    text = f"generation {entry.generation.number} of {groups:,} groups catches up with the log and becomes active"
    if live is not None:
        text += f"; generation {live.number} of {memory.groups(store.nodes, live):,} groups is kept for a rollback"
    return text, {"number": entry.generation.number, "groups": groups, "differences": entry.differences}


def _drop(store: Store, number: int) -> Foreseen:
    entry = store.catalogue.find(number)
    if entry is None:
        raise BadSetting(f"there is no generation {number}")
    size = memory.used(store.nodes, entry.generation).total()
    groups = memory.groups(store.nodes, entry.generation)
    text = f"deletes generation {number} of {groups:,} groups, which frees about {size / _MIB:,.0f} MiB; "
    return text + "nobody can go back to it", {"groups": groups, "bytes": size}
