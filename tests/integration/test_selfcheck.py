"""The self-check finds and reports each fault that it can see, and nothing else."""

import random
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from redis import Redis

from events.logs.sqlite.log import SqliteLog
from projector.readmodel.schema.keys import VERSION, Generation
from projector.store.redis import Store
from projector.verify.selfcheck import FAULT, SelfCheck
from tests import oracle, stored
from tests.integration.bitmap_faults import BitmapFaultInjector
from tests.integration.faults import Fault
from tests.integration.test_verify import add_bitmaps, build, connected, odd_events, opened, publish, sample
from tests.integration.watched import Projector, append
from tests.poison import event
from tests.processes import wait_until_applied
from tests.readmodel import PREFIX
from tests.servers.process import wait_until
from tests.thorough import thorough

EVENTS = 500
EACH = 3
WINDOWS = range(200, 3001, 100)
Seen = set[tuple[str, str]]


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    log = SqliteLog(tmp_path / "orders.db")
    log.create()
    return log


def all_differences(check: SelfCheck, counted: list[int], groups: int) -> Seen:
    """Returns the differences of enough steps to check every group: from a random start to the end, then all again."""
    before, found = sum(counted), Seen()
    while sum(counted) - before < 3 * groups:
        found |= {(one.group, one.what) for one in check.step()}
    return found


def checker(store: Store, counted: list[int]) -> SelfCheck:
    return SelfCheck(store, lambda groups, differences: counted.append(groups))


@pytest.mark.parametrize("shards", [3, *thorough(1)])
def test_every_fault_of_a_group_is_found_and_named(one_redis_url: str, log: SqliteLog, shards: int) -> None:
    events, generation = [*odd_events(), *sample(EVENTS)], Generation(0, shards, VERSION, "n")
    publish(log, events)
    with log, opened(one_redis_url) as store, connected(one_redis_url) as client:
        build(log, store, generation, 1).advance(log.end())
        add_bitmaps(client, 0, shards)
        client.set("og:live", msgspec.json.encode(generation))
        documents = oracle.groups(events)
        injector = BitmapFaultInjector(client, 0, shards, documents, random.Random(shards), ["og_1"])
        counted: list[int] = []
        check = checker(store, counted)
        assert all_differences(check, counted, len(documents)) == set()
        kinds: tuple[Callable[[], Fault], ...] = (
            injector.missing_member, injector.wrong_score, injector.missing_part, injector.head,
            injector.missing_ordinal, injector.all_of_listed, injector.all_of_unlisted, injector.slice_of,
            injector.slice_of_unlisted, injector.numbered, injector.value_of_member, injector.line_of_unlisted,
        )  # fmt: skip
        for kind in kinds:
            for _ in range(EACH):
                fault = kind()
                found = all_differences(check, counted, len(documents))
                if kind == injector.missing_ordinal:
                    # A group without an ordinal is not checked.
                    assert found == set(), fault
                elif any(what == "record" for _, what in fault.places):
                    # Without its record, nothing is expected of the group.
                    ((group_id, _),) = fault.places
                    assert {group for group, _ in found} == {group_id}
                else:
                    assert found == fault.places, fault
                fault.undo()
        group_id = next(iter(documents))
        injector.set_part(group_id, "record", injector.part(group_id, "record")[:-1])
        assert group_id in {group for group, _ in all_differences(check, counted, len(documents))}


def test_an_unexpected_entry_is_found_where_the_field_has_few_values(one_redis_url: str, log: SqliteLog) -> None:
    generation = Generation(0, 1, VERSION, "n")
    publish(log, [event(1), event(2, status="completed")])
    with log, opened(one_redis_url) as store, connected(one_redis_url) as client:
        build(log, store, generation)
        client.set("og:live", msgspec.json.encode(generation))
        counted: list[int] = []
        check = checker(store, counted)
        assert all_differences(check, counted, 2) == set()
        client.zadd(PREFIX + "of:status:pending", {client.hget(PREFIX + "ordinal", "og_2"): 1.0})
        assert all_differences(check, counted, 2) == {("og_2", "of:status:pending")}


def test_writers_do_not_disturb_the_check(one_redis_url: str, log: SqliteLog) -> None:
    generation = Generation(0, 1, VERSION, "n")
    publish(log, sample(3000))
    with log, opened(one_redis_url) as store, opened(one_redis_url) as writing, connected(one_redis_url) as client:
        build(log, store, generation, 100)
        client.set("og:live", msgspec.json.encode(generation))
        counted: list[int] = []
        check = checker(store, counted)
        stepped = threading.Semaphore(0)
        writer = threading.Thread(target=write_events, args=(log.path, writing, generation, stepped), daemon=True)
        writer.start()
        while writer.is_alive():
            assert check.step() == []
            stepped.release()
        assert len(counted) >= len(WINDOWS)
        assert sum(counted) > 0


def write_events(path: Path, store: Store, generation: Generation, stepped: threading.Semaphore) -> None:
    """In small windows, so that commits happen between the calls of the check: at most one window for each step."""
    with SqliteLog(path) as log:
        for stop in WINDOWS:
            stepped.acquire()
            build(log, store, generation, stop)


def test_a_projector_logs_and_counts_what_it_finds(one_redis_url: str, tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/orders.db"
    ends = append(url, *(event(n) for n in range(20)))
    with (
        Projector(tmp_path, EVENT_LOG_URL=url, REDIS_URL=one_redis_url) as run,
        Redis.from_url(one_redis_url) as client,
    ):
        wait_until_applied(client, ends)
        wait_until(lambda: run.metric("checked_groups_total") >= 20, 30, "all groups checked")
        assert (run.metric("check_differences_total"), run.incidents(message())) == (0, [])
        client.setbit(PREFIX + "bits:by:total:3", 7, 1 - client.getbit(PREFIX + "bits:by:total:3", 7))
        wait_until(lambda: run.metric("check_differences_total") >= 1, 30, "the fault to be found")
        (line,) = run.incidents(message())
        assert (line["level"], line["what"], line["shard"], line["more"]) == ("error", "bits:by:total", 0, 0)
        assert stored.ordinal(client.hget(PREFIX + "ordinal", line["group"])) == 7
        assert run.metric("checks_total") >= 2
        assert run.stop() == 0


def message() -> str:
    return f"{FAULT}: `projector verify` lists all differences, `projector replay` repairs them"
