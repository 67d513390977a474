"""Verification on real servers: every injected fault is found and named, and nothing else, also under writes."""

import json
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.cluster import RedisCluster

from events.errors import LogGap
from events.logs.log import Entry, Partition
from events.logs.open import open_log, sqlite_url
from events.logs.sqlite.log import SqliteLog
from events.sample import Marketplace
from projector.errors import FatalError
from projector.readmodel.schema.keys import VERSION, Generation
from projector.rebuild.builder import Builder
from projector.store.nodes import Nodes
from projector.store.redis import Store
from projector.verify import alignment
from projector.verify.compare import Report, compare_generations, verify_log
from projector.verify.sample import Sample
from tests import oracle, stored
from tests.fields import FACET_FIELDS
from tests.integration.bitmap_faults import BitmapFaultInjector
from tests.integration.faults import FaultInjector
from tests.poison import POISON, event
from tests.processes import Process, projector, wait_until_applied
from tests.readmodel import prefixes, read, shard_of
from tests.servers.process import wait_until
from tests.thorough import thorough

EVENTS = 500
# Faults on each server: for one shard, for three, and for three of a cluster.
FAULTS = 50
# Faults of bitmaps, likewise.
BITMAP_FAULTS = 100
# A value has a bitmap from so many groups, in tests that need one.
BROAD = 4
ORDERS = Partition("orders", 0)


def sample(number: int, seed: int = 1) -> list[dict[str, Any]]:
    return list(islice(Marketplace(seed, datetime(2026, 6, 1, tzinfo=UTC)).history(), number))


def odd_events() -> list[dict[str, Any]]:
    """Groups that are not listed or hard to store: deleted, incomplete, with a colon and a NUL in a value."""
    events = [
        event(1),
        event(1, "order.updated", version=2, deleted_at="2026-06-02T10:00:00Z"),
        event(2, "order.updated"),
        event(3, customer_id="cus: a\0b", seller_id='sel_"ä":', order_group_id="og_ä\n\0"),
        event(4, customer_id="", sales_channel_id=None, total="0.000001"),
        *({**event(5), "data": {**event(5)["data"], "id": f"o{n}", "seller_id": f"s{n}"}} for n in range(40)),
    ]
    del events[2]["data"]["seller_id"]
    return [{**one, "id": f"odd_{number}"} for number, one in enumerate(events)]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    with SqliteLog(tmp_path / "orders.db") as log:
        log.create()
        yield log


@pytest.fixture(params=[3, *thorough(1)])
def shards(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@contextmanager
def opened(url: str) -> Iterator[Store]:
    with closing(Nodes(url)) as nodes:
        yield Store(nodes)


@contextmanager
def connected(url: str) -> Iterator[Any]:
    with redis.Redis.from_url(url) as one:
        is_cluster = one.info("cluster")["cluster_enabled"]
    with RedisCluster.from_url(url) if is_cluster else redis.Redis.from_url(url) as client:
        yield client


def publish(log: SqliteLog, events: list[dict[str, Any]]) -> None:
    log.append(entries(events))


def entries(events: list[dict[str, Any]]) -> list[Entry]:
    return [Entry(one["data"]["order_group_id"].encode(), json.dumps(one).encode()) for one in events]


def retry(call: Any) -> Any:
    return call()


def build(log: SqliteLog, store: Store, generation: Generation, stop: int | None = None) -> Builder:
    """Builds a generation as a replay does."""
    store.open(generation)
    builder = Builder(log, store, generation, [ORDERS], retry, park=True)
    builder.advance({ORDERS: log.end()[ORDERS] if stop is None else stop})
    return builder


def verify(log: SqliteLog, store: Store, generation: Generation, share: float = 1.0, first: int = 1000) -> Report:
    return verify_log(log, store, generation, retry, lambda step, done, total: None, Sample(share), first)


def compare(store: Store, live: Generation, built: Generation, builder: Builder, share: float = 1.0) -> Report:
    return compare_generations(store, live, built, builder, lambda step, done, total: None, Sample(share), 1000)


def add_bitmaps(client: Any, number: int, shards: int) -> None:
    """Makes a bitmap of each value that has BROAD groups, as if it had been made from 1024 on."""
    for prefix in prefixes(number, shards):
        for key in client.scan_iter(match=f"{prefix}of:*", count=1000):
            members = client.zrange(key, 0, -1)
            if len(members) >= BROAD:
                name = prefix + "bits:" + key.decode().removeprefix(prefix)
                client.set(name, stored.as_bitmap(map(stored.ordinal, members)))


def remove_groups(client: Any, prefix: str, documents: dict[str, Any], ids: list[str]) -> None:
    """Removes all of the groups."""
    for group_id in ids:
        member = client.hget(prefix + "ordinal", group_id)
        ordinal = stored.ordinal(member)
        chunk, place = divmod(ordinal, stored.LINES)
        for name in stored.bitmaps(documents[group_id]):
            if client.exists(prefix + name):
                client.setbit(prefix + name, ordinal, 0)
        for index in oracle.indexes(documents[group_id]):
            client.zrem(prefix + index, member)
            _, field, value = (*index.split(":", 2), "")[:3]
            if field in FACET_FIELDS and client.zincrby(f"{prefix}values:{field}", -1, value) == 0:
                client.zrem(f"{prefix}values:{field}", value)
        lines = client.hget(prefix + "text", chunk)[:-1].split(b"\xff")
        lines[place] = b""
        client.hset(prefix + "text", chunk, b"".join(line + b"\xff" for line in lines))
        client.hdel(prefix + "row", member)
        client.hdel(prefix + "record", member)
        client.hdel(prefix + "ordinal", group_id)


def places(report: Report) -> set[tuple[str, str]]:
    assert report.differences == len(report.first)
    return {(one.group, one.what) for one in report.first}


def assert_equal(report: Report) -> None:
    assert report.first == []
    assert report.differences == 0
    assert report.documents[0] == report.documents[1]
    assert report.index_entries[0] == report.index_entries[1]
    assert [count for count in report.counts if count.expected != count.found] == []


def test_counts_are_what_the_contract_says(one_redis_url: str, shards: int, log: SqliteLog) -> None:
    check_counts(one_redis_url, shards, log)


def check_counts(url: str, shards: int, log: SqliteLog) -> None:
    events = sample(EVENTS) + odd_events()
    publish(log, events)
    generation = Generation(0, shards, VERSION, "n")
    with opened(url) as store:
        build(log, store, generation)
        report = verify(log, store, generation)
    assert_equal(report)
    documents = oracle.groups(events)
    members = [entry for document in documents.values() for entry in oracle.entries(document)]
    kinds = Counter(":".join(index.split(":")[:2]) for index, _ in members)
    kinds["row"] = len(documents)
    kinds["record"] = len({one["data"]["order_group_id"] for one in events})
    assert kinds["record"] == len(documents) + 2
    assert Counter({count.kind: count.found for count in report.counts if count.kind != "parked"}) == kinds
    assert (report.groups, report.entries, report.events) == (kinds["record"], len(members), len(events))
    assert report.positions == report.until == {"orders/0": len(events)}


def test_every_injected_fault_is_found_and_named(one_redis_url: str, shards: int, log: SqliteLog) -> None:
    check_faults(one_redis_url, shards, log)


def check_faults(url: str, shards: int, log: SqliteLog) -> None:
    events = sample(EVENTS) + odd_events()
    publish(log, events)
    generation = Generation(0, shards, VERSION, "n")
    rng = random.Random(shards)
    kinds = Counter[str]()
    with opened(url) as store, connected(url) as client:
        build(log, store, generation)
        injector = FaultInjector(client, 0, shards, oracle.groups(events), rng)
        for number in range(FAULTS):
            fault = injector.inject()
            kinds[fault.kind] += 1
            report = verify(log, store, generation)
            assert places(report) == fault.places, fault
            digests = report.documents, report.index_entries
            assert digests[0][0] != digests[0][1] or digests[1][0] != digests[1][1], fault
            fault.undo()
            if number % 10 == 9:
                assert_equal(verify(log, store, generation))
    assert len(kinds) == 13


@pytest.mark.thorough
def test_every_fault_of_bitmaps_is_found_and_named(one_redis_url: str, shards: int, log: SqliteLog) -> None:
    check_bitmap_faults(one_redis_url, shards, log)


def check_bitmap_faults(url: str, shards: int, log: SqliteLog) -> None:
    events, generation = sample(EVENTS) + odd_events(), Generation(0, shards, VERSION, "n")
    publish(log, events[-len(odd_events()) :][:1] + events)
    kinds = Counter[str]()
    with opened(url) as store, connected(url) as client:
        # The group that a later event deletes was listed, and keeps its ordinal.
        build(log, store, generation, 1).advance(log.end())
        add_bitmaps(client, 0, shards)
        documents = oracle.groups(events)
        assert "og_1" not in documents
        assert client.hexists(f"og:{{0.{shard_of('og_1', shards)}}}:ordinal", "og_1")
        injector = BitmapFaultInjector(client, 0, shards, documents, random.Random(shards), ["og_1"])
        assert_equal(verify(log, store, generation))
        for number in range(BITMAP_FAULTS):
            fault = injector.inject()
            kinds[fault.kind] += 1
            report = verify(log, store, generation)
            assert places(report) == fault.places, fault
            has_other_part = any(what in ("text", "ordinal") for _, what in fault.places)
            assert (report.documents[0] != report.documents[1]) == has_other_part
            fault.undo()
            if number % 10 == 9:
                assert_equal(verify(log, store, generation))
        assert set(kinds) == {injection.__name__ for injection in injector.injections}


def test_a_slice_and_a_head_are_shown_as_their_integers(one_redis_url: str, log: SqliteLog) -> None:
    publish(log, [event(1, total="74.5")])
    generation = Generation(0, 1, VERSION, "n")
    with opened(one_redis_url) as store, connected(one_redis_url) as client:
        build(log, store, generation)
        ordinal = stored.ordinal(client.hget("og:{0.0}:ordinal", "og_1"))
        client.setbit("og:{0.0}:bits:by:total:80", ordinal, 1)
        (one,) = verify(log, store, generation).first
        assert (one.what, one.expected, one.found) == ("bits:by:total", "74500000", str(74500000 - 2**80))
        client.setbit("og:{0.0}:bits:by:total:80", ordinal, 0)
        injector = FaultInjector(client, 0, 1, {}, random.Random())
        row = injector.part("og_1", "row")
        injector.set_part("og_1", "row", row[:24] + bytes([row[24] ^ 1]) + row[25:])
        (one,) = verify(log, store, generation).first
        assert (one.what, one.at, one.expected, one.found) == ("row", "head.total", "74500000", "74500001")


def test_wrong_counts_of_values(one_redis_url: str, log: SqliteLog) -> None:
    publish(log, sample(EVENTS))
    generation = Generation(0, 1, VERSION, "n")
    with opened(one_redis_url) as store, connected(one_redis_url) as client:
        build(log, store, generation)
        assert_equal(verify(log, store, generation))
        ((largest, groups),) = client.zrange("og:{0.0}:values:status", 0, 0, desc=True, withscores=True)
        client.zincrby("og:{0.0}:values:status", 1, largest)
        client.zadd("og:{0.0}:values:seller_id", {"nobody": 2})
        ((missing, _),) = client.zpopmin("og:{0.0}:values:currency_code")
        found = {(one.what, one.at): (one.expected, one.found) for one in verify(log, store, generation).first}
        sellers = client.zcard(f"og:{{0.0}}:of:currency_code:{missing.decode()}")
    assert found == {
        ("values:status", largest.decode()): (f"{groups:.0f} groups", f"{groups + 1:.0f}"),
        ("values:seller_id", "nobody"): ("0 groups", "2"),
        ("values:currency_code", missing.decode()): (f"{sellers} groups", "nothing"),
    }


def test_several_faults_at_once_of_which_only_the_first_are_listed(one_redis_url: str, log: SqliteLog) -> None:
    events = sample(EVENTS)
    publish(log, events)
    generation = Generation(0, 1, VERSION, "n")
    with opened(one_redis_url) as store, connected(one_redis_url) as client:
        build(log, store, generation)
        injector = FaultInjector(client, 0, 1, oracle.groups(events), random.Random(3))
        faults = [injector.missing_set(), injector.surplus_group(), injector.byte(), injector.surplus_member()]
        planted = set().union(*(fault.places for fault in faults))
        assert places(verify(log, store, generation)) == planted
        report = verify(log, store, generation, first=2)
    assert report.differences == len(planted) > 2
    assert len(report.first) == 2


def test_the_first_byte_that_differs_is_shown(one_redis_url: str, log: SqliteLog) -> None:
    publish(log, [event(1)])
    generation = Generation(0, 1, VERSION, "n")
    with opened(one_redis_url) as store, connected(one_redis_url) as client:
        build(log, store, generation)
        injector = FaultInjector(client, 0, 1, {}, random.Random())
        for name, old, new in (
            ("record", b"pending", b"pendinG"),
            ("text", b"cus_01", b"cus_02"),
            ("row", b":1,", b":2,"),
        ):
            value = injector.part("og_1", name)
            assert old in value
            injector.set_part("og_1", name, value.replace(old, new, 1))
        found = {one.what: (one.at, one.expected, one.found) for one in verify(log, store, generation).first}
        at = injector.part("og_1", "record").index(b"pendinG") + 6
    assert found.pop("record")[0] == f"byte {at}"
    mark = stored.order_mark(str(event(1)["data"]["id"]))
    assert found == {
        "row": ("$.seller_count", "1", "2"),
        "text": ("byte 10", *(repr(b"og_1\xfe" + customer + mark)[1:] for customer in (b"cus_01", b"cus_02"))),
    }


def test_a_record_of_no_group_does_not_have_all_groups_compared_again(one_redis_url: str, log: SqliteLog) -> None:
    """As a group that a projector adds meanwhile."""
    publish(log, [event(number) for number in range(50)])
    generation = Generation(0, 1, VERSION, "n")
    with opened(one_redis_url) as store, connected(one_redis_url) as client:
        build(log, store, generation)
        client.hset("og:{0.0}:record", stored.member(200), client.hget("og:{0.0}:record", stored.member(0)))
        report = verify(log, store, generation)
    assert [one.what for one in report.first] == ["record"]
    assert report.again <= 1


def test_names_that_are_no_utf_8_and_members_of_another_shard(one_redis_url: str, log: SqliteLog) -> None:
    publish(log, [event(number) for number in range(20)])
    generation = Generation(0, 3, VERSION, "n")
    wrong = (shard_of("og_7", 3) + 1) % 3
    with opened(one_redis_url) as store, connected(one_redis_url) as client:
        build(log, store, generation)
        member = stored.member(9999)
        client.hset("og:{0.1}:ordinal", b"og_\xff", member)
        client.zadd("og:{0.1}:by:created_at", {b"og_\xff.": 0})
        client.zadd(b"og:{0.1}:of:status:\xff", {member: 0})
        client.hset(f"og:{{0.{wrong}}}:ordinal", "og_7", stored.member(200))
        client.zadd(f"og:{{0.{wrong}}}:of:seller_id:sel_01", {stored.member(200): 0})
        report = verify(log, store, generation)
    assert places(report) == {
        ("og_\\xff", "ordinal"),
        ("og_\\xff.", "by:created_at"),
        ("", "of:status:\\xff"),
        *(("og_7", name) for name in ("ordinal", "of:seller_id:sel_01")),
    }
    assert {one.shard for one in report.first if one.group == "og_7"} == {wrong}


def test_parked_records_are_counted_and_compared(one_redis_url: str, shards: int, log: SqliteLog) -> None:
    check_parked(one_redis_url, shards, log)


def check_parked(url: str, shards: int, log: SqliteLog) -> None:
    log.append([Entry(None, poison.value, poison.headers) for poison in POISON])
    publish(log, sample(100))
    generation = Generation(0, shards, VERSION, "n")
    with opened(url) as store, connected(url) as client:
        build(log, store, generation)
        report = verify(log, store, generation)
        assert_equal(report)
        assert report.parked == len(POISON)
        client.hset("og:{0.0}:parked", "orders/0@5000", client.hget("og:{0.0}:parked", "orders/0@7"))
        client.hdel("og:{0.0}:parked", "orders/0@7")
        report = verify(log, store, generation)
    assert places(report) == {("orders/0@7", "parked"), ("orders/0@5000", "parked")}


def test_a_sample_finds_what_is_wrong_in_it_alone(one_redis_url: str, log: SqliteLog) -> None:
    events = sample(EVENTS)
    publish(log, events)
    generation = Generation(0, 1, VERSION, "n")
    ids = sorted(oracle.groups(events))
    with opened(one_redis_url) as store, connected(one_redis_url) as client:
        build(log, store, generation)
        for member in client.hkeys("og:{0.0}:row"):
            client.hset("og:{0.0}:row", member, b"{}")
        found = {share: {one.group for one in verify(log, store, generation, share).first} for share in (0.1, 0.3, 1.0)}
    assert found[1.0] == set(ids)
    assert found[0.1] < found[0.3] < found[1.0]
    assert 0.05 < len(found[0.1]) / len(ids) < 0.17


def test_a_sample_of_two_generations_has_the_groups_of_one_of_the_log(one_redis_url: str, log: SqliteLog) -> None:
    """Also groups that change while the new generation catches up with the live one."""
    events = sample(EVENTS)
    publish(log, events)
    live, built = Generation(4, 1, VERSION, "n"), Generation(5, 1, VERSION, "m")
    with opened(one_redis_url) as store, connected(one_redis_url) as client:
        build(log, store, live)
        builder = build(log, store, built, EVENTS // 2)
        for member in client.hkeys("og:{4.0}:row"):
            client.hset("og:{4.0}:row", member, b"{}")
        found = {share: compare(store, live, built, builder, share) for share in (0.3, 1.0)}
        against_the_log = verify(log, store, live, 0.3)
    sampled = {one.group for one in found[0.3].first}
    assert sampled == {one.group for one in against_the_log.first} < {one.group for one in found[1.0].first}
    assert found[0.3].groups == len(sampled)
    assert not found[0.3].counts
    assert {one.group for one in found[1.0].first} == oracle.groups(events).keys()


def test_a_sample_has_the_groups_that_only_the_live_generation_has(one_redis_url: str, log: SqliteLog) -> None:
    """As if the log had lost them."""
    events = sample(EVENTS)
    publish(log, events)
    live, built = Generation(4, 2, VERSION, "n"), Generation(5, 1, VERSION, "m")
    with opened(one_redis_url) as store, connected(one_redis_url) as client:
        build(log, store, live)
        builder = build(log, store, built)
        some = sorted(oracle.groups(events))[::10]
        remove_groups(client, "og:{5.0}:", oracle.groups(events), some)
        found = {share: {one.group for one in compare(store, live, built, builder, share).first} for share in (0.5, 1)}
    assert found[1] == {*some}
    assert set() < found[0.5] < set(some)


def test_groups_too_large_to_be_read_together(one_redis_url: str, log: SqliteLog) -> None:
    """One of 1000 orders, and some of 300, each in as many sets."""
    groups = [number % 6 if number < 1800 else 0 for number in range(2500)]
    events = [
        event(
            number,
            **{"order_group_id": f"og_{group}", "seller_id": f"sel_{number:04}", "customer_id": f"cus_{number}"},
            email=f"customer.{number}@example.com",
        )
        for number, group in enumerate(groups)
    ]
    publish(log, events)
    generation, built = Generation(0, 1, VERSION, "n"), Generation(1, 3, VERSION, "m")
    with opened(one_redis_url) as store, connected(one_redis_url) as client:
        build(log, store, generation)
        assert client.hstrlen("og:{0.0}:record", client.hget("og:{0.0}:ordinal", "og_0")) > 100_000
        builder = build(log, store, built)
        assert_equal(verify(log, store, generation))
        assert_equal(compare(store, generation, built, builder))
        injector = FaultInjector(client, 0, 1, oracle.groups(events), random.Random(7))
        planted = [injector.byte().places, injector.missing_member().places, injector.missing_set().places]
        assert places(verify(log, store, generation)) == set().union(*planted)


def test_a_group_that_is_wrong_in_two_ways_is_counted_once_for_each(one_redis_url: str, log: SqliteLog) -> None:
    """The byte is found when groups are compared, the member only when its set is listed."""
    publish(log, [event(number) for number in range(9)])
    generation = Generation(0, 1, VERSION, "n")
    with opened(one_redis_url) as store, connected(one_redis_url) as client:
        build(log, store, generation)
        FaultInjector(client, 0, 1, {}, random.Random()).set_part("og_1", "text", b"x")
        member = client.hget("og:{0.0}:ordinal", "og_1")
        client.zadd("og:{0.0}:of:status:made up", {member: 1})
        client.zadd("og:{0.0}:of:status:made up too", {member: 1})
        report = verify(log, store, generation)
    assert places(report) == {("og_1", name) for name in ("text", "of:status:made up", "of:status:made up too")}


def test_a_change_that_gets_lost_while_groups_are_compared(one_redis_url: str, log: SqliteLog) -> None:
    """The group was right when it was compared; then the positions advance without it."""
    publish(log, [event(number) for number in range(9)])
    generation = Generation(0, 1, VERSION, "n")
    with opened(one_redis_url) as store, connected(one_redis_url) as client:
        builder = build(log, store, generation)
        names, member = ("row", "record"), client.hget("og:{0.0}:ordinal", "og_3")
        before = {name: client.hget(f"og:{{0.0}}:{name}", member) for name in names}

        def report_progress(step: str, done: int, total: int) -> None:
            # The events are folded, and then all groups are compared.
            if (step, done) == ("compare", total) and log.end()[ORDERS] == 9:
                publish(log, [{**event(3, "order.updated", version=2, total="1.5"), "id": "evt_late"}])
                builder.advance(log.end())
                for name, value in before.items():
                    client.hset(f"og:{{0.0}}:{name}", member, value)

        report = verify_log(log, store, generation, retry, report_progress, first=1000)
    assert places(report) == {("og_3", name) for name in names}


def test_shards_that_were_left_at_different_positions(one_redis_url: str, log: SqliteLog) -> None:
    """As a projector leaves them that is killed between two shards."""
    publish(log, sample(EVENTS))
    early, late = Generation(1, 3, VERSION, "n"), Generation(2, 3, VERSION, "n")
    with opened(one_redis_url) as store, connected(one_redis_url) as client:
        build(log, store, early, EVENTS // 2)
        build(log, store, late)
        for key in client.scan_iter(match="og:{2.1}:*"):
            client.delete(key)
        for key in client.scan_iter(match="og:{1.1}:*"):
            client.rename(key, key.replace(b"{1.", b"{2."))
        report = verify(log, store, late)
        assert_equal(report)
        assert report.positions == {"orders/0": EVENTS // 2}
        assert report.until == {"orders/0": EVENTS}
        assert report.again > 0


@pytest.mark.parametrize("counts", [(1, 1), (3, 2)])
def test_two_generations(one_redis_url: str, log: SqliteLog, counts: tuple[int, int]) -> None:
    """The live one is ahead of the new one, which catches up."""
    events = sample(EVENTS) + odd_events()
    publish(log, events)
    live, built = Generation(4, counts[0], VERSION, "n"), Generation(5, counts[1], VERSION, "m")
    rng = random.Random(5)
    documents = oracle.groups(events)
    with opened(one_redis_url) as store, connected(one_redis_url) as client:
        build(log, store, live)
        builder = build(log, store, built, EVENTS // 2)
        report = compare(store, live, built, builder)
        assert_equal(report)
        assert report.documents == verify(log, store, built).documents
        assert (report.expected_from, report.until) == (5, {"orders/0": len(events)})
        assert read(client, 4, counts[0]).documents == read(client, 5, counts[1]).documents
        for number in (4, 5):
            injector = FaultInjector(client, number, counts[number - 4], documents, rng)
            for make in (
                injector.byte,
                injector.missing_member,
                injector.wrong_score,
                injector.surplus_member,
                injector.new_set,
            ):
                fault = make()
                report = compare(store, live, built, builder)
                assert {one.group for one in report.first} == {group for group, _ in fault.places}, (number, fault)
                assert {what for _, what in fault.places} <= {one.what for one in report.first}, (number, fault)
                fault.undo()
        assert_equal(compare(store, live, built, builder))


def test_bitmaps_of_two_generations(one_redis_url: str, log: SqliteLog) -> None:
    """Each has to fit its own records; which values have one, and the ordinals, may differ."""
    events = sample(EVENTS) + odd_events()
    publish(log, events)
    live, built = Generation(4, 2, VERSION, "n"), Generation(5, 2, VERSION, "m")
    documents, rng = oracle.groups(events), random.Random(9)
    with opened(one_redis_url) as store, connected(one_redis_url) as client:
        build(log, store, live, 100).advance(log.end())
        builder = build(log, store, built, EVENTS // 2)
        assert_equal(compare(store, live, built, builder))
        add_bitmaps(client, 5, 2)
        assert list(client.scan_iter(match="og:{5.*}:bits:of:*"))
        assert not list(client.scan_iter(match="og:{4.*}:bits:of:*"))
        for number in (5, 4):
            injector = BitmapFaultInjector(client, number, 2, documents, rng, ["og_2"])
            for injection in injector.injections:
                name = injection.__name__
                if (number == 4 and "value" in name) or "ordinal" in name:
                    continue
                fault = injection()
                report = compare(store, live, built, builder)
                assert {(one.group, one.what) for one in report.first} == fault.places, (number, fault)
                assert {one.generation for one in report.first} == {number}
                fault.undo()
        assert_equal(compare(store, live, built, builder))


def test_ordinals_of_two_generations(one_redis_url: str, log: SqliteLog) -> None:
    """What the new one lacks is missing in it, or unexpected in the live one."""
    events = sample(EVENTS)
    publish(log, events)
    live, built = Generation(4, 1, VERSION, "n"), Generation(5, 1, VERSION, "m")
    documents, rng = oracle.groups(events), random.Random(9)
    with opened(one_redis_url) as store, connected(one_redis_url) as client:
        build(log, store, live)
        builder = build(log, store, built)
        for number in (4, 5):
            injector = BitmapFaultInjector(client, number, 1, documents, rng, [])
            for injection in (injector.missing_ordinal, injector.doubled_ordinal, injector.bad_ordinal):
                fault = injection()
                report = compare(store, live, built, builder)
                assert fault.places & {(one.group, one.what) for one in report.first}, (number, fault)
                fault.undo()
        assert_equal(compare(store, live, built, builder))


def test_a_live_generation_of_another_version(one_redis_url: str, log: SqliteLog) -> None:
    """Nearly all of it would differ, so the new one is compared with the log."""
    events = sample(EVENTS) + odd_events()
    publish(log, events)
    live, built = Generation(0, 1, VERSION - 1, "n"), Generation(1, 3, VERSION, "m")
    with opened(one_redis_url) as store, connected(one_redis_url) as client:
        builder = build(log, store, built)
        report = compare(store, live, built, builder)
        assert_equal(report)
        assert (report.generation, report.expected_from, report.events) == (1, None, len(events))
        fault = FaultInjector(client, 1, 3, oracle.groups(events), random.Random(11)).byte()
        assert places(compare(store, live, built, builder)) == fault.places


def test_a_generation_that_differs_in_every_group(one_redis_url: str, log: SqliteLog) -> None:
    """Groups are settled in batches, all differences counted, and only the first of them kept."""
    events = sample(EVENTS)
    publish(log, events)
    generation = Generation(0, 1, VERSION, "n")
    with opened(one_redis_url) as store, connected(one_redis_url) as client:
        build(log, store, generation)
        groups = len(oracle.groups(events))
        client.delete("og:{0.0}:by:created_at")
        client.delete("og:{0.0}:row")
        steps: list[tuple[str, int, int]] = []
        report = verify_log(log, store, generation, retry, lambda *step: steps.append(step), first=3)
    assert (report.differences, len(report.first)) == (2 * groups, 3)
    settled = [done for step, done, total in steps if step == "settle" and total == groups]
    assert settled == sorted(settled)
    assert settled[-1] == groups
    assert len({*settled}) > groups / 50


def test_a_new_generation_that_is_ahead_of_a_live_one_without_a_projector(
    one_redis_url: str, log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(log, sample(EVENTS))
    live, built = Generation(0, 1, VERSION, "n"), Generation(1, 1, VERSION, "m")
    monkeypatch.setattr(alignment, "STALL_MAX_S", 0.1)
    with opened(one_redis_url) as store:
        build(log, store, live, EVENTS - 1)
        with pytest.raises(FatalError, match=f"stays at orders/0@{EVENTS - 1} for 0.1 s, behind another one"):
            compare(store, live, built, build(log, store, built))


def test_while_a_projector_writes(one_redis_url: str, shards: int, log: SqliteLog, tmp_path: Path) -> None:
    check_under_writes(one_redis_url, shards, log, tmp_path)


def check_under_writes(url: str, shards: int, log: SqliteLog, tmp_path: Path) -> None:
    """At 500 events a second faults are still found, and nothing else."""
    events = sample(12_000, seed=2)
    publish(log, events[:2000])
    stop = threading.Event()

    def publisher() -> None:
        with SqliteLog(log.path) as mine:
            started_s = time.monotonic()
            # Repeats the events when all are published.
            for n, start in enumerate(cycle(range(2000, len(events), 5))):
                publish(mine, events[start : start + 5])
                if stop.wait(max(0.0, started_s + (n + 1) / 100 - time.monotonic())):
                    return

    settings = {"REDIS_URL": url, "EVENT_LOG_URL": sqlite_url(log.path)}
    with opened(url) as store, connected(url) as client:
        live = store.generation(shards)
        built = Generation(live.number + 1, 2, VERSION, "m")
        builder = build(log, store, built)
        thread = threading.Thread(target=publisher)
        with Process("run", cwd=tmp_path, **settings):
            thread.start()
            try:
                again = moved = 0
                for _ in range(3):
                    for report in (verify(log, store, live), compare(store, live, built, builder)):
                        assert_equal(report)
                        again += report.again
                        moved += report.until["orders/0"] - report.positions["orders/0"]
                assert thread.is_alive(), "the publisher ran during all comparisons"
                assert again > 20
                assert moved > 20
                client.zadd(f"og:{{{live.number}.0}}:by:created_at", {stored.member(2**31): 1})
                client.setbit(f"og:{{{live.number}.0}}:bits:by:total:70", 2**20, 1)
                strange = {("", "by:created_at"), ("", "bits:by:total")}
                assert places(verify(log, store, live)) == strange
                assert places(compare(store, live, built, builder)) == strange
            finally:
                stop.set()
                thread.join()
    assert log.end()[ORDERS] > 2500


def test_on_a_cluster(cluster_url: str, log: SqliteLog) -> None:
    check_faults(cluster_url, 3, log)


def test_counts_and_parked_records_on_a_cluster(cluster_url: str, log: SqliteLog) -> None:
    check_parked(cluster_url, 3, log)


def test_while_a_projector_writes_to_a_cluster(cluster_url: str, log: SqliteLog, tmp_path: Path) -> None:
    check_under_writes(cluster_url, 3, log, tmp_path)


def test_the_command(one_redis_url: str, tmp_path: Path) -> None:
    """Exit codes: 0 if equal, 1 if different, 2 if it cannot be compared."""
    settings = {"REDIS_URL": one_redis_url, "EVENT_LOG_URL": sqlite_url(tmp_path / "orders.db")}

    def run(*arguments: str, **others: str) -> tuple[int, str, str]:
        done = projector("verify", *arguments, cwd=tmp_path, settings=settings | others)
        return done.returncode, done.stdout, done.stderr

    with SqliteLog(tmp_path / "orders.db") as log, redis.Redis.from_url(one_redis_url) as client:
        log.create()
        publish(log, [event(number) for number in range(20)])
        assert run() == (2, "", "projector: there is no live generation yet: `projector run` creates it\n")
        with Process("run", cwd=tmp_path, **settings):
            wait_until_applied(client, {"orders/0": 20})
        code, out, _ = run()
        assert code == 0, out
        assert "orders/0@20" in out
        assert out.endswith("All equal.\n")
        client.zrem("og:{0.0}:by:created_at", *client.hmget("og:{0.0}:ordinal", "og_7", "og_8"))
        code, out, _ = run("--differences", "1", "--generation", "0")
        assert code == 1
        assert "2 differences:" in out
        assert "by:created_at" in out
        assert "and 1 more" in out
        code, out, _ = run("--json", "--sample", "0.999999")
        assert code == 1
        assert json.loads(out)["differences"] == 2
        assert run("--sample", "0")[0] == 2
        assert "there is no generation 9" in run("--generation", "9")[2]
        code, _, errors = run(REDIS_URL="redis://127.0.0.1:1")
        assert code == 2
        assert "Redis does not answer" in errors
        with closing(sqlite3.connect(log.path)) as file, file:
            file.execute('DELETE FROM log WHERE "offset" < 3')
        code, _, errors = run()
        assert code == 2
        assert "the log has lost its beginning: orders/0 begins at 3" in errors


def test_a_log_that_has_lost_its_beginning(one_redis_url: str, log: SqliteLog) -> None:
    publish(log, sample(EVENTS))
    with closing(sqlite3.connect(log.path)) as file, file:
        file.execute('DELETE FROM log WHERE "offset" < 100')
    generation = Generation(0, 1, VERSION, "n")
    with opened(one_redis_url) as store:
        build(log, store, generation)
        with pytest.raises(FatalError, match="lost its beginning: orders/0 begins at 100"):
            verify(log, store, generation)
        report = verify_log(log, store, generation, retry, lambda step, done, total: None, accept_loss=True)
    assert_equal(report)
    assert report.events == EVENTS - 100


def test_three_partitions_of_kafka_while_a_projector_writes(
    one_redis_url: str, kafka_topic: Callable[[int], str], tmp_path: Path
) -> None:
    """Each shard and each partition advances at its own pace."""
    url = kafka_topic(3)
    events = sample(3000, seed=3)
    stop = threading.Event()

    def publisher() -> None:
        with open_log(url, {}) as mine:
            # Repeats the events when all are published.
            for start in cycle(range(500, len(events), 10)):
                mine.append(entries(events[start : start + 10]))
                if stop.wait(0.02):
                    return

    with open_log(url, {}) as log, opened(one_redis_url) as store, connected(one_redis_url) as client:
        log.append(entries(events[:500]))
        live = store.generation(3)
        built = Generation(live.number + 1, 1, VERSION, "m")
        store.open(built)
        thread = threading.Thread(target=publisher)
        with Process("run", cwd=tmp_path, REDIS_URL=one_redis_url, EVENT_LOG_URL=url):
            wait_until(lambda: client.hlen("og:{0.0}:position") == 3, 30, "the projector at work")
            with closing(Builder(log, store, built, log.partitions(), retry)) as builder:
                builder.advance({})
                thread.start()
                try:
                    for _ in range(3):
                        assert_equal(verify_log(log, store, live, retry, lambda step, done, total: None))
                        assert_equal(compare(store, live, built, builder))
                    assert thread.is_alive(), "the publisher ran during all comparisons"
                finally:
                    stop.set()
                    thread.join()


def test_another_log_and_a_shorter_one(one_redis_url: str, log: SqliteLog, tmp_path: Path) -> None:
    publish(log, sample(10))
    generation = Generation(0, 1, VERSION, "n")
    with opened(one_redis_url) as store, SqliteLog(tmp_path / "other" / "orders.db") as other:
        build(log, store, generation)
        other.create()
        with pytest.raises(LogGap, match="applied orders/0 up to 10, but the log ends at 0"):
            verify(other, store, generation)
        store.bind_log(generation, log.identity())
        with pytest.raises(LogGap, match="the events of another log"):
            verify(other, store, generation)
