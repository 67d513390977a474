"""Bugs planted into the bulk build. Killed builders show each of them, undisturbed ones none.

The simulation has none of them: its store has the calls of Store, while builders send plain commands and transactions,
which only a real Redis refuses as it does.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import redis

from events.logs.open import open_log
from projector.errors import FatalError
from projector.rebuild.books import Plan
from projector.rebuild.commands import Command, New
from projector.rebuild.shard import Prepared, ShardBuilder
from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests import readmodel
from tests.chaos.simulation.plants import plant, together
from tests.integration.bulk import begin, build, build_with_kills, filled, finish, generation, history, small

assert small

EVENTS, GROUPS, SHARDS = 900, 200, 2

Part = Sequence[Command]
Parts = Sequence[Part]

_prepare, _write_next = ShardBuilder._prepare, ShardBuilder._write_next


def with_others(self: ShardBuilder, items: Any, stored: Any, first: int | None = None) -> Prepared:
    """The plan's ordinals are forgotten: others are reserved."""
    return _prepare(self, items, stored)


def in_another_order(self: ShardBuilder, items: Any, stored: Any, first: int | None = None) -> Prepared:
    return _prepare(self, items, stored if first is None else dict(reversed(stored.items())), first)


def end_early(self: ShardBuilder, plan: Plan, cut: Parts, last: Part) -> bool:
    """The position is stored, and the books lose the window, before its last part is written."""
    if is_before_the_end(self, plan, cut):
        self._books.finish(last)
        self._books.read()
        self._books.write(cut[-1])
    return _write_next(self, plan, cut, last)


def is_before_the_end(self: ShardBuilder, plan: Plan, cut: Parts) -> bool:
    """Returns whether the last part is next, and the position not stored."""
    page = self._books.read()
    return page.plan == plan and page.part == len(cut) - 1 and page.position != plan.stop


OTHERS = plant((ShardBuilder, "_prepare", with_others))
ANOTHER_ORDER = plant((ShardBuilder, "_prepare", in_another_order))
IDS_NOT_COMPARED = plant((New, "digest", property(lambda new: "any")))
# Name -> a function that plants the bug until the stack is closed, and what finds it: a builder, or the check.
PLANTS: dict[str, tuple[Callable[[ExitStack], None], type[Exception]]] = {
    "a redone window gets other ordinals": (OTHERS, FatalError),
    "the same, and ids are not compared": (together(OTHERS, IDS_NOT_COMPARED), AssertionError),
    "its ordinals in another order, and ids are not compared": (
        together(ANOTHER_ORDER, IDS_NOT_COMPARED),
        AssertionError,
    ),
    "a position before the last part": (plant((ShardBuilder, "_write_next", end_early)), AssertionError),
}


@pytest.fixture
def check(tmp_path: Path, one_redis_url: str) -> "Iterator[Callable[[int, bool], None]]":
    """Returns a function that builds a generation, undisturbed or with kills, and checks it."""
    url = f"sqlite://{tmp_path / 'orders.db'}"
    events, entries = history(7, EVENTS, GROUPS)
    filled(url, entries)
    with (
        open_log(url, {}) as log,
        closing(Nodes(one_redis_url)) as nodes,
        redis.Redis.from_url(one_redis_url) as client,
    ):
        store = Store(nodes)

        def check(number: int, is_killed: bool) -> None:
            made = generation(store, number, SHARDS)
            if is_killed:
                build_with_kills(log, store, made, "before")
            else:
                begin(store, made, "run")
                build(log, store, made, "run")
                finish(store, made)
            model = readmodel.read(client, number, SHARDS)
            readmodel.check(model, events)
            readmodel.check_accounting(model, EVENTS)

        yield check


@pytest.mark.thorough
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_found(check: Callable[[int, bool], None], name: str) -> None:
    put, error = PLANTS[name]
    with ExitStack() as stack:
        put(stack)
        check(0, False)
        with pytest.raises(error):
            check(1, True)


@pytest.mark.thorough
@pytest.mark.usefixtures("small")
def test_an_early_position_alone_is_harmless(check: Callable[[int, bool], None]) -> None:
    """The next builder writes a window that the books have, whatever the position is."""
    early = 0

    def position_early(self: ShardBuilder, plan: Plan, cut: Parts, last: Part) -> bool:
        nonlocal early
        if is_before_the_end(self, plan, cut):
            early += self._books.write(last)
        return _write_next(self, plan, cut, last)

    with ExitStack() as stack:
        plant((ShardBuilder, "_write_next", position_early))(stack)
        check(0, True)
    assert early >= 2 * SHARDS
