"""Parked events taken up again, or thrown away: nothing is lost, nothing counts twice, whoever dies in between."""

import base64
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from typer.testing import CliRunner

from events.logs.log import Entry
from events.logs.open import open_log
from projector.cli.commands import app
from projector.errors import BadSetting, CannotGoOn, StoreUnavailable
from projector.parked.book import entries
from projector.parked.redrive import Redriven, discard, redrive
from projector.readmodel.schema.keys import Generation
from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests import readmodel
from tests.integration.client import BEARER, running
from tests.integration.parking import BAD, ORDERS, apply, events_of, mixture, records
from tests.integration.rebuilding import Shop
from tests.poison import event
from tests.processes import environment, projector

LIST = "/admin/order-groups"
MISSING_ID = "$.id: required, got nothing"


@pytest.fixture
def lone(one_redis_url: str) -> Iterator[Store]:
    store = Store(Nodes(one_redis_url))
    yield store
    store.nodes.close()


@pytest.fixture
def lone_client(one_redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(one_redis_url) as client:
        yield client


def parked(store: Store, shards: int) -> tuple[Generation, list[dict[str, Any]], int]:
    """A generation with the mixture; its good events, and how many records there are."""
    values, refused = mixture()
    generation = store.generation(shards)
    apply(store, generation, records(values), refused)
    return generation, events_of(values), len(values)


def tally(model: readmodel.ReadModel) -> dict[str, int]:
    """Records by fate, where there are any."""
    return {
        name.split(":")[1]: number
        for name, number in model.tally.items()
        if number and not name.endswith(":parked_bytes")
    }


@pytest.mark.parametrize("shards", [1, 3])
def test_what_is_good_by_now_is_applied_once_and_the_rest_stays(store: Store, client: Any, shards: int) -> None:
    generation, events, received = parked(store, shards)
    before = readmodel.read(client, 0, shards)
    assert tally(before) == {"received": 74, "applied": 40, "parked": 34}
    readmodel.check_accounting(before, received)
    told: list[int] = []
    found = redrive(store, generation, entries(store, generation), told.append)
    assert told[-1] == 34
    assert found == Redriven(20, 5, 5, 0, {f"orders/0@{offset}": MISSING_ID for offset in range(70, 74)})
    after = readmodel.read(client, 0, shards)
    readmodel.check(after, events)
    readmodel.check_accounting(after, received)
    assert tally(after) == {"received": 74, "applied": 60, "stale": 5, "passed_over": 5, "parked": 4}
    assert after.positions == before.positions
    for position, told_of_it in after.parked.items():
        old, new = json.loads(before.parked[position]), json.loads(told_of_it)
        assert (old.pop("attempts"), new.pop("attempts")) == (1, 2)
        assert old == new
    again = redrive(store, generation, entries(store, generation))
    assert (again.applied, again.stale, again.passed_over, len(again.parked)) == (0, 0, 0, 4)
    twice = readmodel.read(client, 0, shards)
    assert twice._replace(parked={}) == after._replace(parked={})
    assert {json.loads(one)["attempts"] for one in twice.parked.values()} == {3}


class Dies(Exception):
    pass


class Mortal(Store):
    """Dies before or after its commit of that number, from 0; `was_alive` if it came to no such one."""

    def __init__(self, nodes: Nodes, at: int, is_made: bool) -> None:
        super().__init__(nodes)
        self._left = at
        self._is_made = is_made
        self.was_alive = True

    def commit(self, generation: Generation, shard: int, request: Any) -> Any:
        self._left -= 1
        if self._left >= 0:
            return super().commit(generation, shard, request)
        self.was_alive = False
        if self._is_made:
            super().commit(generation, shard, request).outcome()
        raise Dies


@pytest.mark.parametrize("is_made", [False, True])
def test_wherever_it_dies_it_is_run_again(lone: Store, lone_client: Any, is_made: bool) -> None:
    """With several shards some take two scripts: a record without a group had been parked in shard 0."""
    at, died = 0, 0
    while True:
        lone_client.flushdb()
        generation, events, received = parked(lone, 3)
        mortal = Mortal(lone.nodes, at, is_made)
        try:
            redrive(mortal, generation, entries(lone, generation))
        except Dies:
            died += 1
        readmodel.check_accounting(readmodel.read(lone_client, 0, 3), received)
        redrive(lone, generation, entries(lone, generation))
        model = readmodel.read(lone_client, 0, 3)
        readmodel.check(model, events)
        readmodel.check_accounting(model, received)
        assert len(model.parked) == 4
        # Where it died between its two scripts, the second attempt finds the events applied already.
        assert tally(model)["applied"] + tally(model).get("stale", 0) == 65
        if mortal.was_alive:
            break
        at += 1
    assert died == at >= 5


class Interfering(Store):
    """Does something else once, between what a redrive loads and what it commits."""

    def __init__(self, nodes: Nodes, other: Callable[[], object]) -> None:
        super().__init__(nodes)
        self._other: Callable[[], object] | None = other

    def load(self, generation: Generation, shard: int, group_ids: Any) -> Any:
        found = super().load(generation, shard, group_ids)
        if self._other is not None:
            other, self._other = self._other, None
            other()
        return found


def test_others_may_be_at_the_same_groups_and_at_the_same_records(lone: Store, lone_client: Any) -> None:
    generation, events, received = parked(lone, 1)
    more = [event(100 + number, order_group_id=f"og_{number}") for number in range(30)]

    def meanwhile() -> None:
        """The projector goes on in all these groups, and somebody else redrives and discards some of the records."""
        apply(lone, generation, records(more, received))
        found = entries(lone, generation)
        assert redrive(lone, generation, found[:3]).applied == 3
        assert discard(lone, generation, found[-2:]) == ["orders/0@72", "orders/0@73"]

    everything = entries(lone, generation)
    found = redrive(Interfering(lone.nodes, meanwhile), generation, everything)
    assert (found.applied, found.gone, len(found.parked)) == (17, 5, 2)
    model = readmodel.read(lone_client)
    readmodel.check(model, events + more)
    readmodel.check_accounting(model, received + len(more))
    assert set(model.discarded) == {"orders/0@72", "orders/0@73"}
    assert discard(lone, generation, everything) == ["orders/0@70", "orders/0@71"]


def test_a_sealed_generation_is_left_as_it_is(lone: Store, lone_client: Any) -> None:
    generation, _, _ = parked(lone, 1)
    lone.seal(generation, "a replay")
    before = readmodel.read(lone_client)
    for act in (redrive, discard):
        with pytest.raises(CannotGoOn, match="generation 0 is just being replaced by another one: do it again"):
            act(lone, generation, entries(lone, generation))
    assert readmodel.read(lone_client) == before
    lone.unseal(generation, ["a replay"])
    lone_client.hdel("og:{0.0}:meta", "version")
    with pytest.raises(CannotGoOn, match="Redis has lost generation 0"):
        redrive(lone, generation, entries(lone, generation))


def test_a_redis_that_is_full_takes_a_discard(lone: Store, lone_client: Any) -> None:
    generation, _, received = parked(lone, 1)
    lone_client.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(StoreUnavailable, match="refuses for now"):
            redrive(lone, generation, entries(lone, generation))
        assert len(discard(lone, generation, entries(lone, generation))) == 34
    finally:
        lone_client.config_set("maxmemory", "0")
    readmodel.check_accounting(readmodel.read(lone_client), received)


def test_a_redis_that_is_away_is_told(lone: Store) -> None:
    generation, _, _ = parked(lone, 1)
    away = Store(Nodes("redis://127.0.0.1:1"))
    with pytest.raises(StoreUnavailable):
        redrive(away, generation, entries(lone, generation))


@pytest.mark.parametrize("shards", [1, 3])
def test_a_client_that_has_the_list_gets_the_new_one(lone: Store, one_redis_url: str, shards: int) -> None:
    """A redrive moves no position, and still no 304 may say that nothing has changed."""
    generation, _, _ = parked(lone, shards)
    with running(one_redis_url) as api:
        first = api.get(LIST)
        tags = {"If-None-Match": first.headers["ETag"]}
        headers = {**BEARER, **tags}
        assert api.get(LIST, headers).status_code == 304
        redrive(lone, generation, entries(lone, generation))
        second = api.get(LIST, headers)
        assert second.status_code == 200
        assert second.json() != first.json()
        assert second.headers["X-Projection-Position"] == first.headers["X-Projection-Position"] == "orders/0@74"


def command(shop: Shop, *arguments: str, fails: int = 0) -> str:
    """In this process, since there are many of them. What it says on standard output, or what is wrong."""
    settings = {**dict.fromkeys(os.environ, None), **environment(**shop.settings)}
    done = CliRunner().invoke(app, ["parked", *arguments], env=settings)
    if fails == 2:
        assert isinstance(done.exception, BadSetting)
        return str(done.exception)
    assert done.exit_code == fails, done.output
    return done.stdout


@pytest.fixture
def shop(one_redis_url: str, tmp_path: Path) -> Shop:
    return Shop(tmp_path, one_redis_url)


def test_the_commands(shop: Shop, lone: Store, lone_client: Any) -> None:
    assert "there is no live generation yet" in command(shop, "list", fails=2)
    generation = lone.generation()
    assert command(shop, "list") == "Nothing is parked, in generation 0.\n"
    binary = bytes(range(256))
    values: list[dict[str, Any] | bytes] = [event(1), BAD, binary, event(2), BAD, b'{"\x1b[31m": ']
    apply(lone, generation, records(values), {3})
    shown = command(shop, "list", "--limit", "2")
    assert [line.split()[0] for line in shown.splitlines() if " orders/" in line] == [*("orders/0@1", "orders/0@2")]
    assert "and 3 more; --limit 5 shows all" in shown
    assert shown.splitlines()[-5:] == [
        "5 parked in generation 0:",
        f"  2  {MISSING_ID.split(', got')[0]}",
        "  1  $: expected JSON in UTF-8",
        "  1  $.data.status: expected a status that we know",
        ["  1  $: expected JSON", " 10 bytes that are not: Input data was truncated"][0],
    ]
    told = json.loads(command(shop, "list", "--reason", "UTF-8", "--json"))
    assert (told["total"], [one["position"] for one in told["parked"]]) == (1, ["orders/0@2"])
    assert command(shop, "list", "--reason", "nonsense").startswith("Nothing is parked with 'nonsense' in its reason")

    shown = command(shop, "show", "orders/0@2")
    for text in ("orders/0@2", "attempts", "key 2", "header trace", "00000010  10 11 12", "f0 f1 f2"):
        assert text in shown
    assert "\x1b" not in command(shop, "show", "orders/0@5")
    exact = json.loads(command(shop, "show", "orders/0@2", "--json"))
    assert base64.b64decode(exact["value"]) == binary
    assert base64.b64decode(exact["key"]) == b"key 2"
    assert [(name, base64.b64decode(value)) for name, value in exact["headers"]] == [("trace", b"\xff2")]
    assert (exact["attempts"], exact["time"]) == (1, "2026-06-01T10:00:00.002+00:00")
    assert exact["parked_at"] > "2026-06-01"

    for arguments, said in (
        (("show", "orders/0@0"), "orders/0@0 is not parked: projector parked list shows what is"),
        (("redrive", "orders/0@1", "orders/0@99"), "orders/0@99 is not parked"),
        (("discard", "nonsense"), "expected the position of a parked event such as orders/0@17, got 'nonsense'"),
        (("redrive",), "redrive: expected either positions, --reason or --all"),
        (("discard", "orders/0@1", "--all"), "discard: expected either positions, --reason or --all"),
        (("discard", "--all"), "no terminal: pass --yes to confirm"),
    ):
        assert said in command(shop, *arguments, fails=2)
    assert len(readmodel.read(lone_client).parked) == 5

    assert command(shop, "redrive", "--reason", "that we know") == (
        "1 applied, 0 stale, 0 passed over; 0 still parked.\n"
    )
    assert command(shop, "redrive", "orders/0@4", fails=1).splitlines() == [
        f"orders/0@4: {MISSING_ID}",
        "0 applied, 0 stale, 0 passed over; 1 still parked.",
    ]
    assert command(shop, "discard", "orders/0@4").splitlines() == [
        f"orders/0@4: {MISSING_ID}",
        "1 discarded. They stay in the log: a replay parks them again.",
    ]
    thrown = json.loads(command(shop, "discard", "--all", "--yes", "--json"))["discarded"]
    assert [one["position"] for one in thrown] == ["orders/0@1", "orders/0@2", "orders/0@5"]
    model = readmodel.read(lone_client)
    readmodel.check(model, [event(1), event(2)])
    readmodel.check_accounting(model, 6)
    assert tally(model) == {"received": 6, "applied": 2, "discarded": 4}
    assert json.loads(model.discarded["orders/0@4"])["attempts"] == 2
    status = json.loads(projector("status", "--json", cwd=shop.folder, settings=log_of(shop)).stdout)
    assert [(row["parked"], row["discarded"]) for row in status["partitions"]] == [(0, 4)]


def log_of(shop: Shop) -> dict[str, str]:
    """With a log there, which `status` asks."""
    shop.publish(0)
    return shop.settings


def test_beside_a_projector_that_runs_and_before_a_replay(shop: Shop, lone: Store, lone_client: Any) -> None:
    """What had been refused is in the log, as is what is discarded: a refold and a replay come to the same."""
    values, refused = mixture()
    shop.append([Entry(one.key, one.value, one.headers) for one in records(values)])
    with open_log(shop.log_url, {}) as log, closing(log.read({ORDERS: 0})) as reader:
        written = reader.poll(0, 500, log.end())
    generation = lone.generation()
    apply(lone, generation, written, refused)
    shop.events = events_of(values)
    with shop.run():
        shop.wait()
        done = threading.Event()
        publishing = threading.Thread(target=publish_until, args=(shop, done))
        publishing.start()
        try:
            said = process(shop, "redrive", "--all", fails=1)
        finally:
            done.set()
            publishing.join()
        assert said.splitlines()[-1] == "20 applied, 5 stale, 5 passed over; 4 still parked."
        shop.wait()
        shop.check()
        assert len(shop.model().parked) == 4
        assert process(shop, "redrive", "orders/0@0", fails=2) == (
            "projector: orders/0@0 is not parked: projector parked list shows what is\n"
        )
        command(shop, "discard", "orders/0@70", "orders/0@71")
        verified = json.loads(
            projector("verify", "--json", cwd=shop.folder, settings=shop.settings).stdout,
        )
        assert (verified["differences"], verified["parked"]) == (0, 4)
        shop.check()
        shop.replay("--yes", "--park")
        assert shop.live()[0] == 1
        shop.publish(10)
        shop.wait()
        shop.check()
        assert sorted(shop.model().parked) == [f"orders/0@{offset}" for offset in range(70, 74)]
        shop.replay("rollback")
        shop.check()
        assert len(shop.model().discarded) == 2


def process(shop: Shop, *arguments: str, fails: int) -> str:
    done = projector("parked", *arguments, cwd=shop.folder, settings=shop.settings)
    assert done.returncode == fails, f"{done.stdout}\n{done.stderr}"
    return done.stderr if fails == 2 else done.stdout


def publish_until(shop: Shop, done: threading.Event) -> None:
    """Into the groups that are being redriven."""
    number = 1000
    while not done.is_set() and number < 3000:
        more = [event(number + i, order_group_id=f"og_{i}") for i in range(30)]
        shop.append([Entry(b"", json.dumps(one).encode()) for one in more])
        shop.events += more
        number += 30
