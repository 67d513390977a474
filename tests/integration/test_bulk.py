"""A generation that is built in bulk equals one that is built by commits, whatever happens to its builders."""

import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from events.logs.log import Entry, Log
from events.logs.open import open_log
from projector.errors import FatalError
from projector.rebuild import books
from projector.rebuild.builder import Builder
from projector.rebuild.windows import Windows
from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests import oracle, readmodel
from tests.integration.bulk import (
    Killed,
    begin,
    build,
    build_with_kills,
    each_write,
    filled,
    finish,
    generation,
    history,
    kill,
    small,
    stopped,
    unreliable,
)
from tests.integration.rebuilding import content
from tests.thorough import thorough

assert small

EVENTS, GROUPS = 900, 200


@pytest.fixture
def store(one_redis_url: str) -> Iterator[Store]:
    nodes = Nodes(one_redis_url)
    yield Store(nodes)
    nodes.close()


@pytest.fixture
def client(one_redis_url: str) -> "Iterator[redis.Redis]":
    with redis.Redis.from_url(one_redis_url) as client:
        yield client


def made_by_commits(log: Log, store: Store, client: "redis.Redis", shards: int = 1) -> readmodel.ReadModel:
    made = generation(store, 1, shards)
    with closing(Builder(log, store, made, log.partitions(), lambda call: call(), park=True)) as builder:
        builder.advance(log.end())
    return readmodel.read(client, made.number, shards)


def log_by_commits(url: str, store: Store, client: "redis.Redis") -> readmodel.ReadModel:
    with open_log(url, {}) as log:
        return made_by_commits(log, store, client)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("shards", [1, 3])
def test_it_equals_one_built_by_commits(tmp_path: Path, store: Store, client: "redis.Redis", shards: int) -> None:
    events, entries = history(shards, EVENTS, GROUPS)
    url = f"sqlite://{tmp_path / 'orders.db'}"
    filled(url, entries)
    with open_log(url, {}) as log:
        made = generation(store, 0, shards)
        begin(store, made, "run")
        build(log, store, made, "run")
        finish(store, made)
        model, by_commits = readmodel.read(client, made.number, shards), made_by_commits(log, store, client, shards)
    readmodel.check(model, events)
    readmodel.check_accounting(model, EVENTS)
    assert content(model) == content(by_commits)
    assert model.tally == by_commits.tally
    assert model.tally["orders/0:stale"] > 20
    assert len(model.documents) < GROUPS, "some are not listed"
    assert model.positions == by_commits.positions
    assert not [key for key in client.scan_iter(match=f"og:{{{made.number}.*") if key.endswith(b"builders")]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("first", [0, 7])
def test_a_window_without_records_of_a_shard(
    tmp_path: Path, store: Store, client: "redis.Redis", monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """A log of two groups leaves one of three shards empty. A log without its beginning may first return nothing."""
    events, entries = history(1, 10, 2)
    url, late = f"sqlite://{tmp_path / 'orders.db'}", [first > 0]
    filled(url, entries)
    made = generation(store, 0, 3)
    begin(store, made, "run")
    with open_log(url, {}) as log:
        take, zero = Windows.take, dict(log.first())
        monkeypatch.setattr(log, "first", lambda: {partition: offset + first for partition, offset in zero.items()})
        monkeypatch.setattr(Windows, "take", lambda windows, stop: [] if late and late.pop() else take(windows, stop))
        build(log, store, made, "run")
        ends = log.end()
    finish(store, made)
    model = readmodel.read(client, made.number, 3)
    assert not late
    assert model.positions == {str(partition): end for partition, end in ends.items()}
    if not first:
        readmodel.check(model, events)
        readmodel.check_accounting(model, len(entries))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("when", ["before", "after"])
def test_builders_that_are_killed_at_each_write(tmp_path: Path, store: Store, client: "redis.Redis", when: str) -> None:
    events, entries = history(7, EVENTS, GROUPS)
    url = f"sqlite://{tmp_path / 'orders.db'}"
    filled(url, entries)
    with open_log(url, {}) as log:
        made = generation(store, 0, 2)
        killed = build_with_kills(log, store, made, when)
        model, by_commits = readmodel.read(client, made.number, 2), made_by_commits(log, store, client, 2)
    assert killed > 15
    readmodel.check(model, events)
    readmodel.check_accounting(model, EVENTS)
    assert content(model) == content(by_commits)
    assert model.tally == by_commits.tally, "an event is counted once, and as before"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("seed", [0, 3, *thorough(1, 2, 4, 5)])
def test_redis_loses_its_last_writes(tmp_path: Path, store: Store, client: "redis.Redis", seed: int) -> None:
    """Now and then it goes back to an earlier moment, between two commands of a builder that keeps its connections."""
    chance = random.Random(seed)
    events, entries = history(seed, EVENTS, GROUPS)
    url = f"sqlite://{tmp_path / 'orders.db'}"
    filled(url, entries)
    made, kept, lost = generation(store, 0, 1), dict[bytes, bytes](), 0

    def happens() -> None:
        nonlocal kept, lost
        if not kept or chance.random() < 0.3:
            kept = {key: client.dump(key) or b"" for key in client.scan_iter()}
        elif chance.random() < 0.15 and lost < 8:
            lost += 1
            client.flushdb()
            for key, value in kept.items():
                client.restore(key, 0, value)

    begin(store, made, "run")
    with open_log(url, {}) as log, each_write(before=happens):
        build(log, store, made, "run")
    finish(store, made)
    model = readmodel.read(client, made.number)
    assert lost > 3
    readmodel.check(model, events)
    readmodel.check_accounting(model, EVENTS)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("seed", [0, *thorough(1, 2)])
def test_answers_are_lost_and_writes_arrive_late(
    tmp_path: Path, store: Store, client: "redis.Redis", seed: int
) -> None:
    """A write whose result is unknown is sent again. If it arrives after that, Redis refuses it."""
    chance = random.Random(seed)
    events, entries = history(seed, EVENTS, GROUPS)
    url = f"sqlite://{tmp_path / 'orders.db'}"
    filled(url, entries)
    made = generation(store, 0, 1)
    begin(store, made, "run")
    with open_log(url, {}) as log, unreliable(chance) as happened:
        build(log, store, made, "run")
    finish(store, made)
    model, by_commits = readmodel.read(client, made.number), log_by_commits(url, store, client)
    assert min(happened[name] for name in ("answer lost", "late", "refused")) > 3
    readmodel.check(model, events)
    assert content(model) == content(by_commits)
    assert model.tally == by_commits.tally


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("at", [*range(0, 24, 6), *thorough(*range(3, 24, 6))])
def test_a_builder_that_was_paused_and_replaced_writes_nothing(
    tmp_path: Path, store: Store, client: "redis.Redis", at: int
) -> None:
    events, entries = history(8, EVENTS, GROUPS)
    url = f"sqlite://{tmp_path / 'orders.db'}"
    filled(url, entries)
    with open_log(url, {}) as log, open_log(url, {}) as other_log:
        made, before = generation(store, 0, 1), {}

        def replace() -> None:
            begin(store, made, "other")
            build(other_log, store, made, "other")
            finish(store, made, "other")
            before.update({key: client.dump(key) for key in client.scan_iter()})

        begin(store, made, "run")
        with stopped(at, "before", replace), pytest.raises(FatalError, match="another process builds"):
            build(log, store, made, "run")
        assert {key: client.dump(key) for key in client.scan_iter()} == before
        readmodel.check(readmodel.read(client, made.number), events)


@pytest.mark.usefixtures("small")
def test_two_builders_of_one_shard_and_keys_that_are_not_the_group(
    tmp_path: Path, store: Store, client: "redis.Redis", one_redis_url: str, kafka_topic: Callable[[int], str]
) -> None:
    events, entries = history(9, EVENTS, GROUPS)
    url, chance = kafka_topic(2), random.Random(1)
    filled(url, [Entry(b"%d" % chance.randrange(1000), entry.value, entry.headers) for entry in entries])
    failed: list[BaseException] = []

    def build_one(number: int) -> None:
        try:
            with closing(Nodes(one_redis_url)) as nodes, open_log(url, {}) as log:
                end = {partition: at for partition, at in log.end().items() if partition.number == number}
                build(log, Store(nodes), made, "run", end)
        except BaseException as error:  # noqa: BLE001  raised below
            failed.append(error)

    with open_log(url, {}) as log:
        made = generation(store, 0, 1)
        begin(store, made, "run")
        builders = [threading.Thread(target=build_one, args=(number,)) for number in range(2)]
        for builder in builders:
            builder.start()
        for builder in builders:
            builder.join()
        assert not failed
        finish(store, made)
        model, by_commits = readmodel.read(client, made.number), made_by_commits(log, store, client)
    assert all(position > EVENTS / 4 for position in model.positions.values())
    readmodel.check(model, events)
    readmodel.check_accounting(model, EVENTS)
    assert content(model) == content(by_commits)


@pytest.mark.usefixtures("small")
def test_a_log_that_has_lost_a_window_that_is_half_written(tmp_path: Path, store: Store) -> None:
    _, entries = history(10, EVENTS, GROUPS)
    (tmp_path / "other").mkdir()
    url, other = (f"sqlite://{folder}/orders.db" for folder in (tmp_path, tmp_path / "other"))
    filled(url, entries)
    filled(other, entries[300:])
    made = generation(store, 0, 1)
    begin(store, made, "run")
    with open_log(url, {}) as log, stopped(5, "after", kill), pytest.raises(Killed):
        build(log, store, made, "run")
    begin(store, made, "other")
    with open_log(other, {}) as log, pytest.raises(FatalError, match="no longer holds"):
        build(log, store, made, "other")


def test_bitmaps_of_values_that_many_groups_have_had(tmp_path: Path, store: Store, client: "redis.Redis") -> None:
    """Exact, also where a later window takes most groups out of a value again."""

    def event(number: int, status: str, version: int) -> oracle.Event:
        time = "2026-06-01T10:00:00.000Z"
        data = {
            "id": f"order_{number}",
            "order_group_id": f"og_{number}",
            "version": version,
            "updated_at": time,
            "created_at": time,
            "seller_id": "sel_1",
            "status": status,
            "total": number,
        }
        return {
            "specversion": "1.0",
            "id": f"e{number}.{version}",
            "source": "/a",
            "type": "order.created",
            "data": data,
        }

    events = [event(number, "pending", 1) for number in range(1100)]
    later = [event(number, "completed", 2) for number in range(1000)]
    url = f"sqlite://{tmp_path / 'orders.db'}"
    made = generation(store, 0, 1)
    for run, some in (("one", events), ("two", later)):
        filled(url, [Entry(None, json.dumps(one).encode()) for one in some])
        begin(store, made, run)
        with open_log(url, {}) as log:
            build(log, store, made, run)
        finish(store, made, run)
        bitmaps = {key.decode().partition("bits:of:")[2] for key in client.scan_iter(match="*bits:of:*")}
        assert {"status:pending", "seller_id:sel_1"} <= bitmaps
        readmodel.check(readmodel.read(client, made.number), [*events, *(later if run == "two" else [])])
    assert books.has_books(store.nodes, made) is False
