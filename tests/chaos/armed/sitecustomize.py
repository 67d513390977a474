"""Fail points. With this folder on PYTHONPATH, every process of the project is armed, workers included. The project
itself contains no code for fail points.

    FAIL_AT   a point, and before or after its call, such as `send:after`; see POINTS
    FAIL_TIME fail at the n-th call, from 1; default 1
    FAIL_HOW  `kill` (SIGKILL) or `stop` (SIGSTOP); default `kill`
    FAIL_LOG  a file that gets a line per commit, such as `17 STORED`: process id and outcome
    SESSION_MS, METADATA_MS  Kafka's time limits, shorter for a test
    BATCH_RECORDS, WINDOW_RECORDS, PART_ARGUMENTS  sizes of a commit, a window of a build, and a part of it, so that few
                            events make many
"""

import importlib
import os
import signal
from collections.abc import Callable
from typing import Any

# Point -> module, class or None, function.
POINTS = {
    # The live path.
    "ask": ("projector.store.redis", "Store", "start_load"),
    "load": ("projector.store.pending", "PendingLoad", "groups"),
    "reserve": ("projector.store.ordinals", "Ordinals", "reserve"),
    "fold": ("projector.pipeline", None, "project"),
    "send": ("projector.store.redis", "Store", "commit"),
    "answer": ("projector.store.pending", "PendingCommit", "outcome"),
    "mark": ("events.logs.kafka.subscription", "KafkaSubscription", "mark"),
    # A builder, beside ask and load.
    "build-fold": ("projector.rebuild.shard", None, "project"),
    "build-reserve": ("projector.rebuild.books", "Books", "reserve"),
    "plan": ("projector.rebuild.books", "Books", "plan"),
    "part": ("projector.rebuild.books", "Books", "part"),
    "finish": ("projector.rebuild.books", "Books", "finish"),
    # The process that runs the steps of a replay.
    "workers": ("projector.replay.replay", None, "run_workers"),
    "bitmaps": ("projector.replay.replay", None, "write_value_bitmaps"),
    "close": ("projector.replay.replay", None, "close_books"),
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
    "PART_ARGUMENTS": ("projector.rebuild.commands", "PART_ARGUMENTS"),
}

Call = Callable[..., Any]


def wrap(point: tuple[str, str | None, str], wrapper: Callable[[Call], Call]) -> None:
    module, kind, function = point
    owner: Any = importlib.import_module(module)
    if kind:
        owner = getattr(owner, kind)
    setattr(owner, function, wrapper(getattr(owner, function)))


def failing(when: str, time: int, signal_number: int) -> Callable[[Call], Call]:
    left = time

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal_number)

    def wrapper(call: Call) -> Call:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            if when == "before":
                count()
            answer = call(*arguments, **named)
            if when == "after":
                count()
            return answer

        return wrapped

    return wrapper


def logging(path: str) -> Callable[[Call], Call]:
    def wrapper(call: Call) -> Call:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            answer = call(*arguments, **named)
            with open(path, "a") as file:
                file.write(f"{os.getpid()} {answer}\n")
            return answer

        return wrapped

    return wrapper


def arm() -> None:
    # Set before other modules import the constants by name.
    for name, (module, constant) in CONSTANTS.items():
        if value := os.environ.get(name):
            setattr(importlib.import_module(module), constant, int(value))
    if path := os.environ.get("FAIL_LOG"):
        wrap(POINTS["answer"], logging(path))
    if at := os.environ.get("FAIL_AT"):
        point, _, when = at.partition(":")
        how = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[os.environ.get("FAIL_HOW", "kill")]
        wrap(POINTS[point], failing(when, int(os.environ.get("FAIL_TIME", "1")), how))


# Python imports this file in every process, also in those of other programs.
if any(name in os.environ for name in ("FAIL_AT", "FAIL_LOG", *CONSTANTS)):
    arm()
