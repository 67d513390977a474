"""Compares the simulated store with a real Redis: the same operations give the same outcomes and contents."""

import random

import pytest

from events.logs.log import Partition, Record
from projector.project import decode_record, group_ids, known, project
from projector.readmodel.schema.keys import Generation
from projector.store.commit import Advance, Outcome
from tests.chaos.homes import ReadModelHome, RealHome, SimulatedHome
from tests.chaos.simulation.events import Events
from tests.chaos.simulation.store import Request

STEPS = 400
PARTITIONS = (Partition("orders", 0), Partition("orders", 1))


@pytest.mark.parametrize("seed", range(3))
def test_the_simulated_store_is_no_kinder_than_redis(redis_url: str, seed: int) -> None:
    chance = random.Random(seed)
    both: list[ReadModelHome] = [RealHome(redis_url), SimulatedHome()]
    events = Events(chance)
    logs: dict[Partition, list[Record]] = {partition: [] for partition in PARTITIONS}
    outcomes_seen = dict.fromkeys(Outcome, 0)
    stale: dict[str, bytes | None] = {}
    generations = [place.store.generation() for place in both]
    for _ in range(STEPS):
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
        elif dice < 0.18:
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
            # Redis uses the encoded request, the simulated store its change.
            request = Request(project({i: known(i, loaded[i]) for i in ids}, batch), {partition: Advance(start, stop)})
            for _ in range(chance.choice((1, 1, 2))):
                outcomes = [commit(place, of, request) for place, of in zip(both, generations, strict=True)]
                assert outcomes[0] is outcomes[1]
                outcomes_seen[outcomes[0]] += 1
        real, simulated = (place.found() for place in both)
        assert real.documents == simulated.documents
        assert real.entries == simulated.entries
        assert real.positions == simulated.positions
        assert real.parked == simulated.parked
        assert {n: k for n, k in real.tally.items() if k} == {n: k for n, k in simulated.tally.items() if k}
    # `PendingCommit` does not return FINISHED, and no commit fails halfway here.
    assert {outcome for outcome in Outcome if not outcomes_seen[outcome]} == {Outcome.FINISHED}, outcomes_seen
    for place in both:
        place.close()


def commit(place: ReadModelHome, generation: Generation, request: Request) -> Outcome:
    outcome: Outcome = place.store.commit(generation, 0, request).outcome()
    return outcome
