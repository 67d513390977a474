"""Any command of a commit fails: once Redis accepts writes again, nothing is lost, doubled or left over."""

import itertools
import os
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from projector.parked.listing import entries
from projector.parked.redrive import discard
from projector.store.commit import Outcome
from tests import readmodel
from tests.chaos.survived import survived
from tests.integration.torn import COMMANDS, PARTITIONS, SEED, Torn, make_faulty, rich_batch
from tests.servers.cluster import Place
from tests.thorough import thorough

# `make chaos` runs 1000.
BATCHES = int(os.environ.get("CHAOS_TORN_BATCHES", 60))


@pytest.fixture
def torn_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Place, int], Torn]]:
    made: list[Torn] = []

    def make(place: Place, seed: int) -> Torn:
        made.append(Torn(place, seed))
        return made[-1]

    make_faulty(monkeypatch)
    yield make
    for one in made:
        one.close()


@pytest.fixture
def torn(any_redis: Place, torn_at: Callable[[Place, int], Torn]) -> Callable[[int], Torn]:
    return partial(torn_at, any_redis)


@pytest.mark.parametrize("url", ["one_redis_url", *thorough("cluster_url")])
def test_each_command_in_turn(request: pytest.FixtureRequest, torn_at: Callable[[Place, int], Torn], url: str) -> None:
    """Of a batch that lists, unlists and changes groups, and parks events."""
    place = Place(request.getfixturevalue(url), is_cluster=url == "cluster_url")
    failed: set[str] = set()
    at, torn_ones = 1, 0
    while True:
        life = torn_at(place, SEED)
        batch = rich_batch(life)
        with life.failing(at):
            sent = life.send(PARTITIONS[0], batch)
            assert sent.outcome() is Outcome.STORED
        if not life.failed:
            break
        torn_ones += life.is_torn()
        life.recover(sent, PARTITIONS[0])
        life.check()
        life.finish()
        failed.update(life.failed)
        at += 1
    # HEXISTS is used by redrives and discards, LRANGE by a redo.
    assert COMMANDS - failed == {"HEXISTS", "LRANGE"}
    assert torn_ones > at / 2, "most commands come after the note"


def test_each_command_of_a_discard_in_turn(torn: Callable[[int], Torn]) -> None:
    failed: set[str] = set()
    at = 1
    while True:
        life = torn(SEED)
        life.publish(80)
        life.apply(PARTITIONS[0])
        parked = entries(life.store, life.generation)
        assert len(parked) > 1
        with life.failing(at):
            discard(life.store, life.generation, parked)
        # Any later commit completes the first attempt.
        discard(life.store, life.generation, entries(life.store, life.generation))
        life.store.finish(life.generation, 0)
        model = readmodel.read(life.client)
        assert not model.parked
        assert model.discarded.keys() == {entry.position for entry in parked}
        readmodel.check_accounting(model, model.tally["orders/0:received"])
        if not life.failed:
            break
        failed.update(life.failed)
        at += 1
    assert failed >= {"HEXISTS", "RPUSH", "HDEL", "HSET", "DEL"}


@pytest.mark.timeout(60 + 2 * BATCHES)
def test_random_batches_at_random_commands(torn: Callable[[int], Torn]) -> None:
    done = torn_twice = records = 0
    seeds = itertools.count()
    while done < BATCHES:
        life = torn(next(seeds))
        chance = life.chance
        for _ in range(20):
            life.publish(chance.randint(2, 30))
            partition = chance.choice(PARTITIONS)
            if not (batch := life.batch(partition)):
                continue
            with life.failing(chance.randint(1, 150)):
                sent = life.send(partition, batch[: chance.randint(1, len(batch))])
                sent.outcome()
                life.check()
                continue
            if chance.random() < 0.3:
                with life.failing(chance.randint(1, 150)):
                    sent.outcome()
                torn_twice += life.is_torn()
            life.recover(sent, partition)
            life.check()
            done += 1
        life.finish()
        records += life.ledger.records
    assert torn_twice
    survived("a commit that fails at any command", done, records)
