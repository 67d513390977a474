"""Performs an action, if all is as expected."""

from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import msgspec

from events.logs.log import Log
from projector.actions.book import differing
from projector.actions.foresee import foresee, made_plan
from projector.actions.observe import chosen, observe
from projector.errors import BadSetting
from projector.parked.redrive import Redriven, discard, redrive
from projector.readmodel.schema.actions import Action, Discard, Drop, Redrive, Replay, Rollback, Switch, name_of
from projector.readmodel.schema.keys import VERSION, Generation
from projector.replay.lease import Lease
from projector.replay.replay import Replay as Steps
from projector.replay.reporter import Reporter
from projector.settings import Settings
from projector.store.redis import Store

# Parked events, and differences, that an answer names; it counts all.
SHOWN = 20


class Tools(NamedTuple):
    """What actions need. `environment`: of the processes that build."""

    log: Log
    store: Store
    settings: Settings
    environment: Mapping[str, str]
    stop: Event
    reporter: Reporter

    @property
    def data_dir(self) -> Path:
        return self.settings.data_dir


class Done(NamedTuple):
    text: str
    result: dict[str, Any]


def perform(tools: Tools, action: Action) -> Done:
    """Raises BadSetting if it is refused, FatalError, Stopped, and what log and Redis raise."""
    found = observe(tools.store, action)
    if action.dry_run:
        text, result = foresee(tools.log, tools.store, tools.settings, action)
        return Done(text, {**result, "expected": found})
    if unlike := differing(action.expected, found):
        raise BadSetting("; ".join(unlike))
    match action:
        case Redrive():
            return _redrive(tools, action)
        case Discard():
            return _discard(tools, action)
        case Replay() | Switch() | Rollback() | Drop():
            return _step(tools, action)


def _redrive(tools: Tools, action: Redrive) -> Done:
    live = _writable(tools.store)
    entries = chosen(tools.store, live, action.arguments)
    log = None if live.personal_data else tools.log

    def report(done: int) -> None:
        tools.reporter.progress("redrive", [done], len(entries))

    found: Redriven = redrive(tools.store, live, entries, report, log)
    stay = len(found.parked)
    text = (
        f"{found.applied} applied, {found.stale} stale, {found.passed_over} passed over, {stay} still parked, "
        f"{found.gone} gone meanwhile"
    )
    shown = dict(list(found.parked.items())[:SHOWN])
    return Done(text, {**msgspec.to_builtins(found), "parked": shown, "still_parked": stay})


def _discard(tools: Tools, action: Discard) -> Done:
    live = _writable(tools.store)
    discarded = discard(tools.store, live, chosen(tools.store, live, action.arguments))
    return Done(f"{len(discarded)} discarded; they stay in the log", {"discarded": len(discarded)})


def _step(tools: Tools, action: Replay | Switch | Rollback | Drop) -> Done:
    settings = tools.settings
    if isinstance(action, Replay):
        # Before the lease: a plan only reads.
        made = made_plan(tools.log, tools.store, settings, action.arguments)
        if made.refusals:
            raise BadSetting("; ".join(f"{one.reason}. To override: {one.remedy}" for one in made.refusals))
    with Lease(settings.store_url, f"the action {name_of(action)}") as lease:
        park = not isinstance(action, Replay) or action.arguments.park
        personal = settings.keeps_personal_data
        steps = Steps(tools.log, tools.store.nodes, lease, tools.stop, tools.reporter, park, personal_data=personal)
        match action:
            case Replay():
                steps.build(made.shards, made.workers, tools.data_dir, tools.environment)
                report = steps.verify()
                text = (
                    f"generation {made.number} is built and compared: {report.groups:,} groups, "
                    f"{report.differences} differences"
                )
                shown = [msgspec.to_builtins(one) for one in report.first[:SHOWN]]
                return Done(text, {**msgspec.to_builtins(report), "number": made.number, "first": shown})
            case Switch():
                return _switched(*steps.switch(action.arguments.accept_differences))
            case Rollback():
                return _switched(*steps.rollback(action.arguments.number))
            case Drop():
                keys = steps.drop(action.arguments.number)
                return Done(f"generation {action.arguments.number} is deleted", {"deleted_keys": keys})


def _switched(now: Generation, before: Generation | None) -> Done:
    text = f"generation {now.number} is active" + (f"; {before.number} is kept" if before else "")
    return Done(text, {"active": now.number, "kept": before.number if before else None})


def _writable(store: Store) -> Generation:
    live = store.catalogue.live()
    if live is None:
        raise BadSetting("there is no active generation yet, so nothing is parked")
    if live.version != VERSION:
        raise BadSetting(f"the active generation has version {live.version}, this release writes {VERSION}")
    return live
