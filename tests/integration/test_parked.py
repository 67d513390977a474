"""Redrive and discard: nothing is lost or applied twice, even after a crash."""

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
from projector.errors import BadSetting, FatalError, StoreUnavailable
from projector.parked.listing import entries
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
def single_store(one_redis_url: str) -> Iterator[Store]:
    store = Store(Nodes(one_redis_url))
    yield store
    store.nodes.close()


@pytest.fixture
def single_client(one_redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(one_redis_url) as client:
        yield client


def parked(store: Store, shards: int) -> tuple[Generation, list[dict[str, Any]], int]:
    """Applies the mixture. Returns the generation, the good events, and the number of records."""
    values, refused = mixture()
    generation = store.generation(shards)
    apply(store, generation, records(values), refused)
    return generation, events_of(values), len(values)


def tally(model: readmodel.ReadModel) -> dict[str, int]:
    """Returns the numbers of records by fate, without zeros."""
    return {
        name.split(":")[1]: number
        for name, number in model.tally.items()
        if number and not name.endswith(":parked_bytes")
    }


@pytest.mark.parametrize("shards", [1, 3])
def test_records_that_are_good_now_are_applied_once(store: Store, client: Any, shards: int) -> None:
    generation, events, received = parked(store, shards)
    before = readmodel.read(client, 0, shards)
    assert tally(before) == {"received": 74, "applied": 40, "parked": 34}
    readmodel.check_accounting(before, received)
    progress: list[int] = []
    found = redrive(store, generation, entries(store, generation), progress.append)
    assert progress[-1] == 34
    assert found == Redriven(20, 5, 5, 0, {f"orders/0@{offset}": MISSING_ID for offset in range(70, 74)})
    after = readmodel.read(client, 0, shards)
    readmodel.check(after, events)
    readmodel.check_accounting(after, received)
    assert tally(after) == {"received": 74, "applied": 60, "stale": 5, "passed_over": 5, "parked": 4}
    assert after.positions == before.positions
    for position, stored in after.parked.items():
        old, new = json.loads(before.parked[position]), json.loads(stored)
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
    """Dies before or after its n-th commit, from 0. `was_alive`: there were fewer commits."""

    def __init__(self, nodes: Nodes, at: int, is_made: bool) -> None:
        super().__init__(nodes)
        self._left = at
        self._is_made = is_made
        self.was_alive = True

    def commit(self, generation: Generation, shard: int, request: Any, even_if_full: bool = False) -> Any:
        self._left -= 1
        if self._left >= 0:
            return super().commit(generation, shard, request, even_if_full)
        self.was_alive = False
        if self._is_made:
            super().commit(generation, shard, request, even_if_full).outcome()
        raise Dies


@pytest.mark.parametrize("is_made", [False, True])
def test_a_redrive_can_be_repeated_after_a_death(single_store: Store, single_client: Any, is_made: bool) -> None:
    """With several shards, some records take two scripts: those parked in shard 0 as records without a group."""
    at, died = 0, 0
    while True:
        single_client.flushdb()
        generation, events, received = parked(single_store, 3)
        mortal = Mortal(single_store.nodes, at, is_made)
        try:
            redrive(mortal, generation, entries(single_store, generation))
        except Dies:
            died += 1
        readmodel.check_accounting(readmodel.read(single_client, 0, 3), received)
        redrive(single_store, generation, entries(single_store, generation))
        model = readmodel.read(single_client, 0, 3)
        readmodel.check(model, events)
        readmodel.check_accounting(model, received)
        assert len(model.parked) == 4
        # After a death between the two scripts, the second attempt finds the events applied already.
        assert tally(model)["applied"] + tally(model).get("stale", 0) == 65
        if mortal.was_alive:
            break
        at += 1
    assert died == at >= 5


class Interfering(Store):
    """Runs a function once, between load and commit of a redrive."""

    def __init__(self, nodes: Nodes, other: Callable[[], object]) -> None:
        super().__init__(nodes)
        self._other: Callable[[], object] | None = other

    def load(self, generation: Generation, shard: int, group_ids: Any) -> Any:
        found = super().load(generation, shard, group_ids)
        if self._other is not None:
            other, self._other = self._other, None
            other()
        return found


def test_concurrent_changes_of_groups_and_records(single_store: Store, single_client: Any) -> None:
    generation, events, received = parked(single_store, 1)
    more = [event(100 + number, order_group_id=f"og_{number}") for number in range(30)]

    def meanwhile() -> None:
        """Updates all these groups, and redrives and discards some of the records."""
        apply(single_store, generation, records(more, received))
        found = entries(single_store, generation)
        assert redrive(single_store, generation, found[:3]).applied == 3
        assert discard(single_store, generation, found[-2:]) == ["orders/0@72", "orders/0@73"]

    everything = entries(single_store, generation)
    found = redrive(Interfering(single_store.nodes, meanwhile), generation, everything)
    assert (found.applied, found.gone, len(found.parked)) == (17, 5, 2)
    model = readmodel.read(single_client)
    readmodel.check(model, events + more)
    readmodel.check_accounting(model, received + len(more))
    assert set(model.discarded) == {"orders/0@72", "orders/0@73"}
    assert discard(single_store, generation, everything) == ["orders/0@70", "orders/0@71"]


def test_a_sealed_generation_is_not_changed(single_store: Store, single_client: Any) -> None:
    generation, _, _ = parked(single_store, 1)
    single_store.seal(generation, "a replay")
    before = readmodel.read(single_client)
    for act in (redrive, discard):
        with pytest.raises(FatalError, match="generation 0 is being replaced: try again once its successor is live"):
            act(single_store, generation, entries(single_store, generation))
    assert readmodel.read(single_client) == before
    single_store.unseal(generation, ["a replay"])
    single_client.hdel("og:{0.0}:meta", "version")
    with pytest.raises(FatalError, match="Redis has lost generation 0"):
        redrive(single_store, generation, entries(single_store, generation))


def test_a_discard_works_at_maxmemory(single_store: Store, single_client: Any) -> None:
    generation, _, received = parked(single_store, 1)
    single_client.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(StoreUnavailable, match="refuses for now"):
            redrive(single_store, generation, entries(single_store, generation))
        assert len(discard(single_store, generation, entries(single_store, generation))) == 34
    finally:
        single_client.config_set("maxmemory", "0")
    readmodel.check_accounting(readmodel.read(single_client), received)


def test_an_unavailable_redis_is_an_error(single_store: Store) -> None:
    generation, _, _ = parked(single_store, 1)
    away = Store(Nodes("redis://127.0.0.1:1"))
    with pytest.raises(StoreUnavailable):
        redrive(away, generation, entries(single_store, generation))


@pytest.mark.parametrize("shards", [1, 3])
def test_a_redrive_changes_the_etag(single_store: Store, one_redis_url: str, shards: int) -> None:
    """A redrive moves no position, but must not be answered with 304."""
    generation, _, _ = parked(single_store, shards)
    with running(one_redis_url) as api:
        first = api.get(LIST)
        tags = {"If-None-Match": first.headers["ETag"]}
        headers = {**BEARER, **tags}
        assert api.get(LIST, headers).status_code == 304
        redrive(single_store, generation, entries(single_store, generation))
        second = api.get(LIST, headers)
        assert second.status_code == 200
        assert second.json() != first.json()
        assert second.headers["X-Projection-Position"] == first.headers["X-Projection-Position"] == "orders/0@74"


def command(shop: Shop, *arguments: str, fails: int = 0) -> str:
    """Runs a command in this process, which is faster. Returns its standard output, or its error."""
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


def test_the_commands(shop: Shop, single_store: Store, single_client: Any) -> None:
    assert "there is no live generation yet" in command(shop, "list", fails=2)
    generation = single_store.generation()
    assert command(shop, "list") == "Nothing is parked, in generation 0.\n"
    binary = bytes(range(256))
    values: list[dict[str, Any] | bytes] = [event(1), BAD, binary, event(2), BAD, b'{"\x1b[31m": ']
    apply(single_store, generation, records(values), {3})
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
    listed = json.loads(command(shop, "list", "--reason", "UTF-8", "--json"))
    assert (listed["total"], [one["position"] for one in listed["parked"]]) == (1, ["orders/0@2"])
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

    for arguments, error in (
        (("show", "orders/0@0"), "orders/0@0 is not parked: list parked events with `projector parked list`"),
        (("redrive", "orders/0@1", "orders/0@99"), "orders/0@99 is not parked"),
        (("discard", "nonsense"), "expected the position of a parked event such as orders/0@17, got 'nonsense'"),
        (("redrive",), "redrive: expected either positions, --reason or --all"),
        (("discard", "orders/0@1", "--all"), "discard: expected either positions, --reason or --all"),
        (("discard", "--all"), "no terminal: pass --yes to confirm"),
    ):
        assert error in command(shop, *arguments, fails=2)
    assert len(readmodel.read(single_client).parked) == 5

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
    model = readmodel.read(single_client)
    readmodel.check(model, [event(1), event(2)])
    readmodel.check_accounting(model, 6)
    assert tally(model) == {"received": 6, "applied": 2, "discarded": 4}
    assert json.loads(model.discarded["orders/0@4"])["attempts"] == 2
    status = json.loads(projector("status", "--json", cwd=shop.folder, settings=log_of(shop)).stdout)
    assert [(row["parked"], row["discarded"]) for row in status["partitions"]] == [(0, 4)]


def log_of(shop: Shop) -> dict[str, str]:
    """Returns settings with an existing log, which `status` reads."""
    shop.publish(0)
    return shop.settings


def test_beside_a_running_projector_and_before_a_replay(shop: Shop, single_store: Store, single_client: Any) -> None:
    """A replay applies redriven records, and parks discarded ones again: both are in the log."""
    values, refused = mixture()
    shop.append([Entry(one.key, one.value, one.headers) for one in records(values)])
    with open_log(shop.log_url, {}) as log, closing(log.read({ORDERS: 0})) as reader:
        written = reader.poll(0, 500, log.end())
    generation = single_store.generation()
    apply(single_store, generation, written, refused)
    shop.events = events_of(values)
    with shop.run():
        shop.wait()
        done = threading.Event()
        publishing = threading.Thread(target=publish_until, args=(shop, done))
        publishing.start()
        try:
            output = process(shop, "redrive", "--all", fails=1)
        finally:
            done.set()
            publishing.join()
        assert output.splitlines()[-1] == "20 applied, 5 stale, 5 passed over; 4 still parked."
        shop.wait()
        shop.check()
        assert len(shop.model().parked) == 4
        assert process(shop, "redrive", "orders/0@0", fails=2) == (
            "projector: orders/0@0 is not parked: list parked events with `projector parked list`\n"
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
    """Publishes updates of the groups that are being redriven."""
    number = 1000
    while not done.is_set() and number < 3000:
        more = [event(number + i, order_group_id=f"og_{i}") for i in range(30)]
        shop.append([Entry(b"", json.dumps(one).encode()) for one in more])
        shop.events += more
        number += 30
