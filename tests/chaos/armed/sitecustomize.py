"""Fail points. On PYTHONPATH it arms every process of the project, workers included; without, no process knows of it:
the project itself has no line for them.

    FAIL_AT   a point and a side of it, such as `send:after`; see POINTS
    FAIL_TIME the how manieth time that the point is come to, from 1; 1 if not told
    FAIL_HOW  `kill` (SIGKILL) or `stop` (SIGSTOP); `kill` if not told
    FAIL_LOG  a file that gets a line for each answer of a commit, such as `17 STORED`: process id and outcome
    SESSION_MS, METADATA_MS  Kafka's patience, so that a test need not have ours
    BATCH_RECORDS, WINDOW_RECORDS, PART_GROUPS  how many one commit, a window of a replay, or a part of it takes, so
                            that few events make many
"""

import importlib
import os
import signal
from collections.abc import Callable
from typing import Any

# Point -> module, class or None, function: a call that every process of its kind makes.
POINTS = {
    # The live path.
    "ask": ("projector.store.redis", "Store", "start_load"),
    "load": ("projector.store.pending", "PendingLoad", "states"),
    "fold": ("projector.pipeline", None, "project"),
    "send": ("projector.store.pending", "PendingCommit", "_send"),
    "answer": ("projector.store.pending", "PendingCommit", "outcome"),
    "mark": ("events.logs.kafka.subscription", "KafkaSubscription", "mark"),
    # The process that builds, beside ask, load, send and answer.
    "build-fold": ("projector.rebuild.builder", None, "project"),
    # The process that takes the steps of a replay.
    "workers": ("projector.replay.replay", None, "run_workers"),
    "compare": ("projector.replay.replay", None, "compare_generations"),
    "seal": ("projector.store.redis", "Store", "seal"),
    "pointer": ("projector.store.catalogue", "Catalogue", "point"),
    "unseal": ("projector.store.redis", "Store", "unseal"),
    "delete": ("projector.replay.replay", None, "delete_keys"),
}

CONSTANTS = {
    "SESSION_MS": ("events.logs.kafka.subscription", "SESSION_MS"),
    "METADATA_MS": ("events.logs.kafka.subscription", "METADATA_AGE_MAX_MS"),
    "BATCH_RECORDS": ("projector.batches", "BATCH_RECORDS_MAX"),
    "WINDOW_RECORDS": ("projector.rebuild.windows", "WINDOW_RECORDS"),
    "PART_GROUPS": ("projector.rebuild.parts", "PART_GROUPS"),
}

Call = Callable[..., Any]


def wrap(place: tuple[str, str | None, str], wrapper: Callable[[Call], Call]) -> None:
    module, kind, function = place
    owner: Any = importlib.import_module(module)
    if kind:
        owner = getattr(owner, kind)
    setattr(owner, function, wrapper(getattr(owner, function)))


def failing(side: str, time: int, number: int) -> Callable[[Call], Call]:
    left = time

    def come_by() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), number)

    def wrapper(call: Call) -> Call:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            if side == "before":
                come_by()
            answer = call(*arguments, **named)
            if side == "after":
                come_by()
            return answer

        return wrapped

    return wrapper


def telling(path: str) -> Callable[[Call], Call]:
    def wrapper(call: Call) -> Call:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            answer = call(*arguments, **named)
            with open(path, "a") as file:
                file.write(f"{os.getpid()} {answer}\n")
            return answer

        return wrapped

    return wrapper


def arm() -> None:
    # Before anybody has imported them by name.
    for name, (module, constant) in CONSTANTS.items():
        if value := os.environ.get(name):
            setattr(importlib.import_module(module), constant, int(value))
    if path := os.environ.get("FAIL_LOG"):
        wrap(POINTS["answer"], telling(path))
    if at := os.environ.get("FAIL_AT"):
        point, _, side = at.partition(":")
        how = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[os.environ.get("FAIL_HOW", "kill")]
        wrap(POINTS[point], failing(side, int(os.environ.get("FAIL_TIME", "1")), how))


# Python reads this file in every process, also in those that are not ours to arm.
if any(name in os.environ for name in ("FAIL_AT", "FAIL_LOG", *CONSTANTS)):
    arm()
