"""Runs a command of `projector`, and kills it with SIGKILL inside a step, or stops it with SIGSTOP (`switch-asleep`).

    python -m tests.integration.killed <where> <arguments of projector>

`where` names a call that a step makes, and whether the process dies before or after it.
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

# Where -> module, class or None, function, and whether the call is still made.
ASLEEP = ("projector.store.catalogue", "Catalogue", "point")
PLACES = {
    "build-after-worker": ("projector.replay.replay", None, "run_workers", True),
    "verify-after": ("projector.replay.replay", None, "compare_generations", True),
    "switch-after-seal": ("projector.store.redis", "Store", "seal", True),
    "switch-before-pointer": ("projector.store.catalogue", "Catalogue", "point", False),
    "switch-after-pointer": ("projector.store.catalogue", "Catalogue", "point", True),
    "rollback-after-unseal": ("projector.store.redis", "Store", "unseal", True),
    "drop-after-keys": ("projector.replay.replay", None, "delete_keys", True),
}


def main() -> None:
    where, *arguments = sys.argv[1:]
    module_name, class_name, function, is_made = PLACES.get(where, (*ASLEEP, True))
    owner: Any = importlib.import_module(module_name)
    if class_name:
        owner = getattr(owner, class_name)
    call = getattr(owner, function)
    setattr(owner, function, dying(call, is_made) if where in PLACES else sleeping(call))
    sys.argv = ["projector", *arguments]
    from projector.cli import main as projector

    projector()


def dying(call: Callable[..., Any], is_made: bool) -> Callable[..., Any]:
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if is_made:
            call(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    return wrapped


def sleeping(call: Callable[..., Any]) -> Callable[..., Any]:
    """Until somebody sends SIGCONT."""

    def wrapped(*arguments: Any, **named: Any) -> Any:
        os.kill(os.getpid(), signal.SIGSTOP)
        return call(*arguments, **named)

    return wrapped


if __name__ == "__main__":
    main()
