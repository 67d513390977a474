"""The simulated store and a real Redis side by side: whatever is done to both, they answer and hold the same."""

import random

import pytest

from events.logs.log import Partition, Record
from projector.project import decode_record, group_ids, known, project
from projector.readmodel.schema.keys import Generation
from projector.store.commit import Advance, Outcome
from tests.chaos.places import ReadPlace, RealPlace, SimulatedPlace
from tests.chaos.simulation.events import Events
from tests.chaos.simulation.store import Told

STEPS = 400
PARTITIONS = (Partition("orders", 0), Partition("orders", 1))


@pytest.mark.parametrize("seed", range(3))
def test_the_simulated_store_is_no_kinder_than_redis(redis_url: str, seed: int) -> None:
    chance = random.Random(seed)
    both: list[ReadPlace] = [RealPlace(redis_url), SimulatedPlace()]
    events = Events(chance)
    logs: dict[Partition, list[Record]] = {partition: [] for partition in PARTITIONS}
    met = dict.fromkeys(Outcome, 0)
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
            # What is packed, and what is in it, is used twice.
            told = Told(project({i: known(i, loaded[i]) for i in ids}, batch), {partition: Advance(start, stop)})
            for _ in range(chance.choice((1, 1, 2))):
                outcomes = [commit(place, of, told) for place, of in zip(both, generations, strict=True)]
                assert outcomes[0] is outcomes[1]
                met[outcomes[0]] += 1
        real, simulated = (place.found() for place in both)
        assert real.documents == simulated.documents
        assert real.entries == simulated.entries
        assert real.positions == simulated.positions
        assert real.parked == simulated.parked
        assert {n: k for n, k in real.tally.items() if k} == {n: k for n, k in simulated.tally.items() if k}
    # FINISHED stays within `PendingCommit`, and nothing fails halfway here.
    assert {outcome for outcome in Outcome if not met[outcome]} == {Outcome.FINISHED}, f"too little happened: {met}"
    for place in both:
        place.close()


def commit(place: ReadPlace, generation: Generation, told: Told) -> Outcome:
    outcome: Outcome = place.store.commit(generation, 0, told).outcome()
    return outcome
