"""A thread of a projector that starts a child process when an action waits, and measures generations for the API.

The child does the work, so that the commit loop of this process never waits for it.
"""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event
from typing import cast

import msgspec

from projector.actions.book import Book
from projector.program import PROGRAM
from projector.readmodel.schema.sizes import SIZES, Sizes
from projector.retry import Beside, in_thread
from projector.store import memory
from projector.store.catalogue import Catalogue
from projector.store.nodes import Nodes
from projector.up.child import stop as stop_process

# How often requests are looked for, in seconds.
LOOK_EVERY_S = 0.5
# After a child that failed, in seconds.
FAILED_S = 5.0
# How old the sizes of generations get, and when they are forgotten, in seconds.
SIZES_AGE_S = 60
SIZES_KEPT_S = 300
# How long a stopping projector waits for the end of a look, in seconds. A child gets the time of `stop_process`.
JOIN_S = 12.0


@contextmanager
def executing_actions(redis_url: str, data_dir: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Executes actions inside the `with` block, in a thread of its own. Stops a running one at the end."""
    with in_thread("actions", partial(_run, redis_url, data_dir, environment), JOIN_S):
        yield


def _run(redis_url: str, data_dir: Path, environment: Mapping[str, str], stop: Event) -> None:
    beside, pause_s = Beside("cannot look for actions of operators"), LOOK_EVERY_S
    with closing(Nodes(redis_url)) as nodes:
        book = Book(nodes)
        while not stop.wait(pause_s):
            pause_s = LOOK_EVERY_S
            with beside.logged():
                if book.todo() and not book.is_held() and not _execute(data_dir, environment, stop):
                    pause_s = FAILED_S
                _measure(nodes)


def _execute(data_dir: Path, environment: Mapping[str, str], stop: Event) -> bool:
    """Runs `projector act` to its end. Returns whether it succeeded."""
    child = subprocess.Popen(
        [*PROGRAM, "act", "--data-dir", str(data_dir)],
        env=dict(environment),
        # When this process ends, so does the standard input of the child, which then stops.
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while child.poll() is None:
            if stop.wait(LOOK_EVERY_S):
                stop_process(child)
    finally:
        assert child.stdin is not None
        child.stdin.close()
    return child.returncode == 0


def _measure(nodes: Nodes) -> None:
    """Stores the sizes of all generations, unless a projector has done so lately."""
    with nodes.errors():
        stored = cast(bytes | None, nodes.of(SIZES).get(SIZES))
    now = datetime.now(UTC)
    if stored is not None:
        age_s = (now - datetime.fromisoformat(msgspec.json.decode(stored, type=Sizes).at)).total_seconds()
        if 0 <= age_s < SIZES_AGE_S:
            return
    generations = [entry.generation for entry in Catalogue(nodes).listed()]
    found = {generation.number: memory.used(nodes, generation).total() for generation in generations}
    sizes = msgspec.json.encode(Sizes(now.isoformat(), found))
    nodes.write_even_if_full(SIZES, "SET", SIZES, sizes, "EX", SIZES_KEPT_S)
