"""Builds generations in bulk, in this process, and stops builders before or after any of their writes."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from itertools import count
from typing import Any

import pytest
from redis.client import Pipeline
from redis.exceptions import ConnectionError, WatchError

from events.logs.log import Entry, Log, Partition
from events.logs.open import open_log
from projector.errors import StoreUnavailable
from projector.readmodel.schema.keys import VERSION, Generation
from projector.rebuild import books, shard, windows
from projector.rebuild.books import Books
from projector.rebuild.bulk import Bulk
from projector.rebuild.values import write_value_bitmaps
from projector.store.redis import Store
from tests import oracle
from tests.chaos.simulation.events import Events

Call = Callable[..., Any]


class Killed(Exception):
    """Stands for SIGKILL: what a builder holds in memory is lost."""


def history(seed: int, number: int, groups: int) -> tuple[list[oracle.Event], list[Entry]]:
    """Returns events that keep the contract, and the entries of these and of others."""
    source = Events(random.Random(seed), groups)
    made = [source.next() for _ in range(number)]
    return [event for event, _ in made if event], [entry for _, entry in made]


def filled(url: str, entries: Sequence[Entry]) -> None:
    with open_log(url, {}) as log:
        log.create()
        for start in range(0, len(entries), 500):
            log.append(entries[start : start + 500])


def generation(store: Store, number: int, shards: int) -> Generation:
    """Returns a new one, open for writing."""
    made = Generation(number, shards, VERSION, "nonce")
    store.open(made)
    return made


def build(log: Log, store: Store, made: Generation, run: str, stop: Mapping[Partition, int] | None = None) -> None:
    Bulk(log, store, made, run, call_until_available, True, lambda reached: None).build(stop or log.end())


def finish(store: Store, made: Generation, run: str = "run") -> None:
    write_value_bitmaps(store.nodes, made, run, call_until_available, lambda: None)
    books.close_books(store.nodes, made)


def begin(store: Store, made: Generation, run: str) -> None:
    books.open_books(store.nodes, made, run)


def build_with_kills(log: Log, store: Store, made: Generation, when: str) -> int:
    """Kills each builder one write later than the one before, `when` it is before or after that write: windows are left
    and begun again many times. Returns the number of kills.
    """
    for at in count():
        begin(store, made, f"run {at}")
        with suppress(Killed), stopped(at, when, kill):
            build(log, store, made, f"run {at}")
            break
    finish(store, made, f"run {at}")
    return at


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few events make many windows, loads and parts."""
    monkeypatch.setattr(windows, "WINDOW_RECORDS", 150)
    monkeypatch.setattr(windows, "POLL_RECORDS", 40)
    monkeypatch.setattr(shard, "LOAD_RECORDS", 25)
    monkeypatch.setattr("projector.rebuild.commands.PART_ARGUMENTS", 60)


def call_until_available(call: Callable[[], Any]) -> Any:
    while True:
        try:
            return call()
        except StoreUnavailable:
            continue


@contextmanager
def stopped(at: int, when: str, how: Callable[[], None]) -> Iterator[None]:
    """Calls `how` before or after the write number `at`, from 0, of any builder in this process."""
    write, count = Books.write, 0

    def counted(self: Books, commands: Any) -> bool:
        nonlocal count
        is_it = count == at
        count += 1
        if is_it and when == "before":
            how()
        is_written = write(self, commands)
        if is_it and when == "after":
            how()
        return is_written

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Books, "write", counted)
        yield


@contextmanager
def each_write(before: Callable[[], None]) -> Iterator[None]:
    write = Books.write

    def wrapped(self: Books, commands: Any) -> bool:
        before()
        return write(self, commands)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Books, "write", wrapped)
        yield


@contextmanager
def unreliable(chance: random.Random) -> "Iterator[Counter[str]]":
    """Of transactions some lose their answers, and some arrive after the next one has been answered."""
    execute, happened, late = Pipeline.execute, Counter[str](), list[Pipeline]()

    def wrapped(self: Pipeline, raise_on_error: bool = True) -> Any:
        dice = chance.random()
        if dice < 0.1:
            happened["answer lost"] += 1
            execute(self, raise_on_error)
            raise ConnectionError("answer lost")
        if dice < 0.2:
            happened["late"] += 1
            # The connection, and what was to be sent on it, are no longer the builder's.
            late.append(copy(self))
            self.connection, self.watching, self.command_stack = None, False, []
            raise ConnectionError("late")
        answer = execute(self, raise_on_error)
        while late:
            try:
                execute(late.pop(), raise_on_error)
            except WatchError:
                happened["refused"] += 1
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pipeline, "execute", wrapped)
        yield happened


def kill() -> None:
    raise Killed
