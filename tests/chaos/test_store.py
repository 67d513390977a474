"""Compares the simulated store with a real Redis: the same operations give the same outcomes and contents."""

import random
from typing import Any

import pytest

from events.logs.log import Partition, Record
from projector.project import Stored, decode_record, group_ids, project
from projector.store.commit import Advance, Outcome
from projector.store.request import request
from tests.chaos.homes import ReadModelHome, RealHome, SimulatedHome, reserve_what_was_reserved
from tests.chaos.simulation.events import Events
from tests.integration.committing import make_values_broad
from tests.readmodel import PREFIX

STEPS = 400
# One step in so many is followed by a comparison of all that is stored.
COMPARED = 5
PARTITIONS = (Partition("orders", 0), Partition("orders", 1))


@pytest.mark.parametrize("seed", range(3))
def test_the_simulated_store_is_no_kinder_than_redis(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    make_values_broad(monkeypatch, 3)
    chance = random.Random(seed)
    both: list[ReadModelHome] = [RealHome(redis_url), SimulatedHome()]
    events = Events(chance, groups=30)
    logs: dict[Partition, list[Record]] = {partition: [] for partition in PARTITIONS}
    outcomes_seen = dict.fromkeys(Outcome, 0)
    stale: dict[str, Stored | None] = {}
    generations = [place.store.generation() for place in both]
    for step in range(STEPS):
        dice = chance.random()
        if dice < 0.03:
            for place in both:
                place.empty()
            if chance.random() < 0.7:
                generations = [place.store.generation() for place in both]
        elif dice < 0.06:
            meta = chance.choice(({"sealed": "1"}, {"nonce": "another"}, {"version": "1"}))
            for place, generation in zip(both, generations, strict=True):
                place.set_meta(generation, **meta)
        elif dice < 0.11:
            # Another writer's block, too, where a failover has lost its reservation.
            for place, generation in zip(both, generations, strict=True):
                reserve_what_was_reserved(place, generation)
        elif dice < 0.22:
            for place, generation in zip(both, generations, strict=True):
                place.store.unseal(generation, place.store.seals(generation))
            generations = [place.store.generation() for place in both]
        else:
            partition = chance.choice(PARTITIONS)
            log = logs[partition]
            for _ in range(chance.randint(1, 3)):
                _, entry = events.next()
                log.append(Record(partition, len(log), 0, entry.key, entry.value, entry.headers))
            stored = both[0].store.positions(generations[0], 0, [partition])[0]
            start = chance.choice((stored, stored, stored, None, chance.randrange(len(log) + 2)))
            stop = chance.randint((start or 0) + 1, max(len(log), (start or 0) + 1))
            batch = [decode_record(record) for record in log[start or 0 : stop]]
            ids = group_ids(batch)
            loaded = both[0].store.load(generations[0], 0, ids) if ids else {}
            assert loaded == (both[1].store.load(generations[1], 0, ids) if ids else {})
            if chance.random() < 0.1:
                loaded = {group_id: stale.get(group_id) for group_id in ids}
            stale |= loaded
            requests = []
            for place, generation in zip(both, generations, strict=True):
                change = project(place.store.known(generation, 0, loaded), batch)
                requests.append(request(change, {partition: Advance(start, stop)}))
            assert requests[0] == requests[1]
            for _ in range(chance.choice((1, 1, 2))):
                outcomes = [
                    place.store.commit(of, 0, requests[0]).outcome()
                    for place, of in zip(both, generations, strict=True)
                ]
                assert outcomes[0] is outcomes[1]
                outcomes_seen[outcomes[0]] += 1
        if step % COMPARED == 0:
            assert content(both[0].client) == content(both[1].client)
    # `PendingCommit` does not return FINISHED, and no commit fails halfway here.
    assert {outcome for outcome in Outcome if not outcomes_seen[outcome]} == {Outcome.FINISHED}, outcomes_seen
    for place in both:
        place.close()


def content(client: Any) -> dict[str, object]:
    """Returns the shard as it is stored: every member, bit and byte."""
    names = ("ordinal", "record", "row", "text", "position", "last", "tally", "parked")
    found: dict[str, object] = {name: client.hgetall(PREFIX + name) for name in names}
    for key in client.scan_iter(match=PREFIX + "*", count=1000, _type="ZSET"):
        found[key.decode()] = client.zrange(key.decode(), 0, -1, withscores=True)
    for key in client.scan_iter(match=PREFIX + "bits:*", count=1000, _type="STRING"):
        found[key.decode()] = client.get(key.decode())
    found["reserved"] = int(client.get(PREFIX + "ordinals") or 0)
    return found
