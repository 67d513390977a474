"""Executes requested actions, in a process of its own, and answers them."""

import os
import socket
from collections.abc import Mapping
from threading import Event
from typing import Any

import structlog

from events.errors import EventsError
from events.logs.log import Log
from projector.actions.book import Book, Entry, Todo
from projector.actions.perform import Tools, perform
from projector.errors import BadSetting, FatalError, ProjectorError
from projector.readmodel.schema.actions import EXECUTOR, EXPIRES_S, Answer, Request, name_of, shown
from projector.readmodel.schema.generations import Progress
from projector.replay.lease import Lease
from projector.retry import Stopped, retry
from projector.settings import Settings
from projector.store.catalogue import now
from projector.store.nodes import Nodes
from projector.store.redis import Store

GIVEN_UP = "the process that executed it has ended. What it had done stays; a replay continues with the next request"
LATE = f"no projector began it within {EXPIRES_S} s"

log = structlog.get_logger("projector")


class LeaseReporter:
    """A Reporter that publishes the progress in the lease, where the API reads it."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    def progress(self, step: str, done: list[int], total: int) -> None:
        self._lease.set_progress(Progress(step, sum(done), total))

    def message(self, text: str) -> None:
        log.info(text)


def execute(source: Log, nodes: Nodes, settings: Settings, environment: Mapping[str, str], stop: Event) -> None:
    """Returns when nothing waits. Raises Busy while another process executes an action, StoreUnavailable."""
    book = Book(nodes)
    with Lease(settings.store_url, "the executor of actions", EXECUTOR) as lease:
        tools = Tools(source, Store(nodes), settings, environment, stop, LeaseReporter(lease))
        while not stop.is_set() and (found := book.todo()):
            todo, entry = found[0]
            lease.check()
            # Not that of the action before.
            tools.reporter.progress("begin", [0], 0)
            _Execution(book, lease, entry, stop).run(todo, tools)
            book.forget()


class _Execution:
    def __init__(self, book: Book, lease: Lease, entry: Entry, stop: Event) -> None:
        self._book, self._lease, self._entry, self._stop = book, lease, entry, stop
        before = entry.answer
        self._by = f"process {os.getpid()} on {socket.gethostname()}"
        self._began_at = before.began_at if before else now()

    def run(self, todo: Todo, tools: Tools) -> None:
        request = self._entry.request
        if todo is Todo.GIVE_UP:
            self._end("failed", GIVEN_UP)
        elif todo is Todo.REFUSE or request is None:
            self._end("refused", LATE if request else "this release does not know such an action")
        else:
            self._answer("running", "it runs", None)
            log.info("action begins", **self._logged())
            self._perform(request, tools)

    def _perform(self, request: Request, tools: Tools) -> None:
        try:
            done = perform(tools, request.action)
        except BadSetting as error:
            self._end("refused", str(error))
        except Stopped:
            self._end("failed", "the projector was stopped; a replay continues with the next request")
        except (ProjectorError, EventsError) as error:
            self._end("failed", str(error))
        except Exception as error:
            # Whatever it is, such as a full disk, the operator must not wait for it.
            self._end("failed", f"{type(error).__name__}: {error}. The log of the projector has more")
            raise
        else:
            self._end("done", done.text, done.result)

    def _end(self, state: str, text: str, result: dict[str, Any] | None = None) -> None:
        log.info("action ended", **self._logged(), state=state, text=text)
        self._answer(state, text, result)

    def _answer(self, state: str, text: str, result: dict[str, Any] | None) -> None:
        ended_at = None if state == "running" else now()
        answer = Answer(state, text, self._by, self._began_at, ended_at, result)
        # An outage of Redis must not make a failure of what is done.
        if not retry(self._stop, lambda: self._book.answer(self._entry.id, answer, self._lease.token)):
            raise FatalError("this process has lost the lease of actions, so another one may hold it")

    def _logged(self) -> dict[str, Any]:
        request = self._entry.request
        if request is None:
            return {"id": self._entry.id}
        action = request.action
        asked = {"action": name_of(action), "arguments": shown(action)["arguments"], "dry_run": action.dry_run}
        return {"id": self._entry.id, "who": request.who, **asked}
