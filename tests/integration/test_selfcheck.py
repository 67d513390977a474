"""The self-check finds and reports each fault that it can see, and nothing else."""

import random
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from redis import Redis

from events.logs.sqlite.log import SqliteLog
from projector.readmodel.schema.document import VERSION
from projector.readmodel.schema.keys import Generation
from projector.store import commit
from projector.store.redis import Store
from projector.verify.selfcheck import FAULT, SelfCheck
from tests import oracle
from tests.integration.faults import BitmapFaultInjector, Fault
from tests.integration.test_verify import BROAD, build, connected, odd_events, opened, publish, sample
from tests.integration.watched import Projector, append
from tests.poison import event
from tests.processes import wait_until_applied
from tests.readmodel import PREFIX
from tests.servers.process import wait_until

EVENTS = 500
EACH = 3
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


@pytest.mark.parametrize("shards", [1, 3])
def test_every_fault_of_a_group_is_found_and_named(
    one_redis_url: str, log: SqliteLog, shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "BROAD_GROUPS_MIN", BROAD)
    events, generation = [*odd_events(), *sample(EVENTS)], Generation(0, shards, VERSION, "n")
    publish(log, events)
    with log, opened(one_redis_url) as store, connected(one_redis_url) as client:
        build(log, store, generation, 1).advance(log.end())
        client.set("og:live", msgspec.json.encode(generation))
        documents = oracle.groups(events)
        injector = BitmapFaultInjector(client, 0, shards, documents, random.Random(shards), ["og_1"])
        counted: list[int] = []
        check = checker(store, counted)
        assert all_differences(check, counted, len(documents)) == set()
        kinds: tuple[Callable[[], Fault], ...] = (
            injector.missing_member, injector.wrong_score, injector.missing_part, injector.missing_ordinal,
            injector.all_of_listed, injector.all_of_unlisted, injector.slice_of, injector.slice_of_id,
            injector.value_of_member, injector.line_of_unlisted,
        )  # fmt: skip
        for kind in kinds:
            for _ in range(EACH):
                fault = kind()
                found = all_differences(check, counted, len(documents))
                if any(what == "state" for _, what in fault.places):
                    # A group without a state is not checked.
                    assert found == set(), fault
                else:
                    assert found == fault.places, fault
                fault.undo()
        group_id = next(iter(documents))
        injector.set_part(group_id, "state", injector.part(group_id, "state")[:-1])
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
        client.zadd(PREFIX + "of:status:pending", {"og_2": 1.0})
        assert all_differences(check, counted, 2) == {("og_2", "of:status:pending")}


def test_writers_do_not_disturb_the_check(one_redis_url: str, log: SqliteLog) -> None:
    generation = Generation(0, 1, VERSION, "n")
    publish(log, sample(3000))
    with log, opened(one_redis_url) as store, opened(one_redis_url) as writing, connected(one_redis_url) as client:
        build(log, store, generation, 100)
        client.set("og:live", msgspec.json.encode(generation))
        counted: list[int] = []
        check = checker(store, counted)
        writer = threading.Thread(target=write_events, args=(log.path, writing, generation))
        writer.start()
        steps = 0
        while writer.is_alive():
            assert check.step() == []
            steps += 1
        writer.join()
        assert steps > 10
        assert sum(counted) > 0


def write_events(path: Path, store: Store, generation: Generation) -> None:
    """In small windows, so that many commits happen between the calls of the check."""
    with SqliteLog(path) as log:
        for stop in range(200, 3001, 100):
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
        ordinal = client.zscore(PREFIX + "ordinal", line["group"])
        assert ordinal == 7
        assert run.metric("checks_total") >= 2
        assert run.stop() == 0


def message() -> str:
    return f"{FAULT}: `projector verify` lists all differences, `projector replay` repairs them"
