"""`projector up`: runs log, Redis, projector and API as one process tree, which Ctrl-C stops."""

import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import FrameType

from events.logs.open import open_log
from events.sources.mapping import load_mapping
from projector.errors import BadSetting, FatalError, StoreUnavailable
from projector.health.port import check_port
from projector.readmodel.schema.keys import VERSION
from projector.settings import Settings
from projector.store.catalogue import Catalogue
from projector.store.nodes import Nodes
from projector.up.child import Child, stop
from projector.up.demo import Demo
from projector.up.served import Announcement, answers
from projector.up.valkey import start_valkey, wait_for_valkey

# How long leftover processes of a killed `up` may take to stop, in seconds: the API first answers its requests.
LEFTOVERS_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 20.0
_CHECK_EVERY_S = 0.1


def up(
    settings: Settings, environment: Mapping[str, str], demo: bool, with_source: bool, announce: Callable[[], None]
) -> None:
    """Runs until SIGINT or SIGTERM. Calls `announce` when the list is served. `with_source`: publishes from SOURCE_URL.

    Raises BadSetting, FatalError, after stopping whatever was started.
    """
    stopping = _stop_on_signals()
    home = settings.home
    _wait_for_ports(settings, stopping)
    home.create()
    child_environment = {**environment, "API_PORT": str(settings.api_port), "DATA_DIR": str(home.path)}
    if with_source and settings.source_url:
        child_environment["SOURCE_URL"] = settings.source_url.get_secret_value()
    with ExitStack() as running:
        running.enter_context(_only_one(settings))
        valkey = start_valkey(home) if settings.embedded_redis else None
        if valkey:
            running.callback(stop, valkey)
            wait_for_valkey(home, valkey, stopping)
            if stopping.is_set():
                return
        with open_log(settings.log_url, environment) as log:
            log.create()
        children = []
        # --auto-replay: with data of an earlier version, `projector replay` cannot run before us, who start Redis.
        commands = [("projector", ["run", "--auto-replay"]), ("api", ["serve"])]
        if with_source:
            _prepare_source(settings)
            commands.append(("source", ["source", "run"]))
        for name, command in commands:
            child = Child(name, command, child_environment, home.output)
            running.callback(child.stop)
            children.append(child)
        if demo:
            publisher = Demo(open_log(settings.log_url, environment))
            publisher.start()
            running.callback(publisher.stop)
        _wait_for_answer(settings, children, stopping)
        if not stopping.is_set():
            _warn_of_later_version(settings)
        announcement = Announcement(settings, announce)
        while not stopping.wait(_CHECK_EVERY_S):
            _check_alive(children)
            if valkey and valkey.poll() is not None:
                raise FatalError(f"the embedded Redis stopped; {home.output / 'redis.log'} says why")
            announcement.make_once_served()


def _prepare_source(settings: Settings) -> None:
    """Installs the triggers, and begins a backfill where there was none. Raises BadSource, SourceUnavailable."""
    # Imported here: it needs the driver of the extra `postgres`.
    from events.sources.backfill import begin_backfill
    from events.sources.database import connected
    from events.sources.schema import install
    from events.sources.status import Backfill, read_backfill

    assert settings.source_url is not None
    mapping = load_mapping(settings.source_mapping)
    with connected(settings.source_url.get_secret_value()) as connection:
        install(connection, mapping)
        if read_backfill(connection) == Backfill():
            begin_backfill(connection, mapping)


def _stop_on_signals() -> threading.Event:
    stopping = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    return stopping


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    with settings.home.lock.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise _runs_already(settings, lock.read()) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()} at {settings.api_here}")
        lock.flush()
        try:
            yield
        finally:
            lock.truncate(0)


def _runs_already(settings: Settings, lock: str) -> BadSetting:
    return BadSetting(
        f"projector up already runs in {settings.data_dir} ({lock}): stop it, or give another --data-dir and --port"
    )


def _was_killed(settings: Settings) -> bool:
    """Whether the last `up` in this data dir was killed: only then is its process number still in the lock file.

    Raises BadSetting if it still runs.
    """
    try:
        with settings.home.lock.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _runs_already(settings, lock.read()) from None
            return lock.read() != ""
    except FileNotFoundError:
        return False


def _wait_for_ports(settings: Settings, stopping: threading.Event) -> None:
    """Waits for ports that processes of a killed `up` may still have until they stop. Raises BadSetting."""
    was_killed = _was_killed(settings)
    try:
        _check_ports(settings)
        return
    except BadSetting as error:
        if not was_killed:
            raise
        print(f"projector: {error}. Waiting for processes of a killed `projector up` to stop", file=sys.stderr)
    deadline = time.monotonic() + LEFTOVERS_TIMEOUT_S
    while not stopping.wait(_CHECK_EVERY_S):
        try:
            _check_ports(settings)
            return
        except BadSetting:
            if time.monotonic() > deadline:
                raise


def _check_ports(settings: Settings) -> None:
    check_port("API", settings.api_host, settings.api_port, "set API_PORT, or give --port")
    if settings.projector_port is not None:
        check_port("PROJECTOR", settings.projector_host, settings.projector_port, "set another PROJECTOR_PORT, or none")


def _wait_for_answer(settings: Settings, children: list[Child], stopping: threading.Event) -> None:
    """Returns when the API answers, which does not depend on the projector. Raises FatalError."""
    deadline = time.monotonic() + ANSWER_TIMEOUT_S
    while not stopping.wait(_CHECK_EVERY_S):
        if answers(settings):
            return
        _check_alive(children)
        if time.monotonic() > deadline:
            raise FatalError(f"the API did not answer within {ANSWER_TIMEOUT_S:.0f} s; see {settings.home.output}")


def _warn_of_later_version(settings: Settings) -> None:
    """Prints the remedy if a later version is live: our projector stands by, and the API serves a kept generation."""
    nodes = Nodes(settings.store_url)
    try:
        live = Catalogue(nodes).live()
    except StoreUnavailable:
        # REDIS_URL's server is unavailable: the projector waits for it and logs that.
        return
    finally:
        nodes.close()
    if live is not None and live.version > VERSION:
        print(
            f"projector: version {live.version} of the read model is live, made by a later release. This one writes "
            f"version {VERSION}, and waits. To go back to it, in another terminal: projector replay rollback; where no "
            "generation of it is kept: projector replay --accept-differences",
            file=sys.stderr,
        )


def _check_alive(children: list[Child]) -> None:
    for child in children:
        if child.has_stopped:
            raise FatalError(f"projector {child.name} stopped. The end of {child.output}:\n{child.tail()}")
