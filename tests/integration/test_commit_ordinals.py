"""What a commit writes of groups by their ordinals, in Redis and in the simulation: members, bits, texts, changes."""

from typing import Any

import pytest

from projector.project import Change
from projector.readmodel.schema.tally import Fate
from projector.store.commit import Outcome
from projector.store.request import request
from tests import readmodel, stored
from tests.chaos.homes import ReadModelHome, check, reserve_what_was_reserved
from tests.integration.committing import OTHER, commit, make_values_broad, prepared, send
from tests.poison import event

PREFIX = readmodel.PREFIX
BAD = b'{"specversion":"1.0"}'
VALUES = ["of:customer_id:cus_01", "of:sales_channel_id:sc_web", "of:seller_id:sel_01", "of:status:pending"]


def later(number: int, version: int, **data: Any) -> dict[str, Any]:
    """Returns a later event of the order that `event(number)` has made; `data` overrides fields."""
    changed = event(number, "order.updated", version=version, **data)
    return {**changed, "id": f"evt_{number}_{version}"}


def line(number: int, customer: str) -> bytes:
    """The text of a group with one order."""
    return f"og_{number}".encode() + b"\xfe" + customer.encode() + stored.order_mark(f"order_{number}")


def deleted(number: int, version: int) -> dict[str, Any]:
    return later(number, version, deleted_at="2026-06-02T10:00:00Z")


def bits(home: ReadModelHome) -> dict[str, set[int]]:
    """Returns all bitmaps, by name."""
    names = [key.decode() for key in home.client.scan_iter(match=PREFIX + "*", count=1000, _type="STRING")]
    found = {name.removeprefix(PREFIX): stored.bits(home.client.get(name)) for name in names}
    return {name: ordinals for name, ordinals in found.items() if name.startswith("bits:")}


def of_values(home: ReadModelHome) -> list[str]:
    """Returns the values that have a bitmap."""
    return sorted(name.removeprefix("bits:") for name in bits(home) if name.startswith("bits:of:"))


def test_new_groups_get_the_ordinals_of_a_block(home: ReadModelHome) -> None:
    store, events = home.store, [event(1), event(2), event(3)]
    generation = store.generation()
    assert commit(store, generation, events[:2], None) is Outcome.STORED
    assert readmodel.ordinals(home.client) == {"og_1": 0, "og_2": 1}
    assert home.client.get(PREFIX + "ordinals") == b"256"
    store.ordinals.drop(generation, 0)
    assert commit(store, generation, [events[0], events[2]], None, OTHER) is Outcome.STORED
    assert readmodel.ordinals(home.client) == {"og_1": 0, "og_2": 1, "og_3": 256}
    assert home.client.get(PREFIX + "ordinals") == b"512"
    check(home, events, 4)


def test_taken_after_a_failover_has_lost_a_reservation(home: ReadModelHome) -> None:
    store = home.store
    generation = store.generation()
    assert commit(store, generation, [event(1), event(2)], None) is Outcome.STORED
    reserve_what_was_reserved(home, generation)
    sent = prepared(store, generation, [later(1, 2), event(3)], None, OTHER)
    before = home.dump()
    for _ in range(2):
        assert send(store, generation, sent) is Outcome.TAKEN
        assert home.dump() == before
    store.ordinals.drop(generation, 0)
    assert commit(store, generation, [later(1, 2), event(3)], None, OTHER) is Outcome.STORED
    assert readmodel.ordinals(home.client) == {"og_1": 0, "og_2": 1, "og_3": 256}
    check(home, [event(1), event(2), later(1, 2), event(3)], 4)


def test_a_lost_reservation_is_made_good_by_the_commit(home: ReadModelHome) -> None:
    store = home.store
    generation = store.generation()
    sent = prepared(store, generation, [event(1)], None)
    home.set_ordinals(generation, 0)
    assert send(store, generation, sent) is Outcome.STORED
    assert home.client.get(PREFIX + "ordinals") == b"256"
    home.set_ordinals(generation, 1024)
    assert commit(store, generation, [event(2)], 1) is Outcome.STORED
    assert home.client.get(PREFIX + "ordinals") == b"1024"


def test_changed_if_a_new_group_has_got_an_ordinal_meanwhile(home: ReadModelHome) -> None:
    store = home.store
    generation = store.generation()
    sent = prepared(store, generation, [event(1)], None)
    store.ordinals.drop(generation, 0)
    first, second = event(1), later(1, 2, status="completed")
    assert commit(store, generation, [second], None, OTHER) is Outcome.STORED
    before = home.dump()
    assert send(store, generation, sent) is Outcome.CHANGED
    assert home.dump() == before
    assert commit(store, generation, [first], None) is Outcome.STORED
    assert readmodel.ordinals(home.client) == {"og_1": 256}
    check(home, [first, second], 2)


def test_an_unlisted_group_keeps_its_ordinal_and_loses_all_bits(
    home: ReadModelHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_values_broad(monkeypatch, 1)
    store = home.store
    generation = store.generation()
    events = [event(1, total=-3, order_group_display_id=7), deleted(1, 2), later(1, 3, deleted_at=None)]
    assert commit(store, generation, [events[0]], None) is Outcome.STORED
    assert {ordinal for found in bits(home).values() for ordinal in found} == {0}
    assert commit(store, generation, [events[1]], 1) is Outcome.STORED
    assert set().union(*bits(home).values()) == set()
    assert home.client.hgetall(PREFIX + "text") == {b"0": b"\xff" * 128}
    assert home.client.hgetall(PREFIX + "row") == {}
    assert readmodel.ordinals(home.client) == {"og_1": 0}
    check(home, events[:2], 2)
    assert commit(store, generation, [events[2]], 2) is Outcome.STORED
    assert readmodel.ordinals(home.client) == {"og_1": 0}
    check(home, events, 3)


def test_a_value_gets_a_bitmap_with_its_1024th_group(home: ReadModelHome) -> None:
    """One value in each commit."""
    store = home.store
    generation = store.generation()
    events = [event(number) for number in range(1023)]
    assert commit(store, generation, events, None) is Outcome.STORED
    assert of_values(home) == []
    for number in range(4):
        events.append(event(1023 + number))
        assert commit(store, generation, events[-1:], 1023 + number) is Outcome.STORED
        assert len(of_values(home)) == number + 1
    assert of_values(home) == VALUES
    # The bitmap stays when the groups are fewer.
    events += [later(number, 2, status="completed") for number in range(4)]
    assert commit(store, generation, events[-4:], 1027) is Outcome.STORED
    assert of_values(home) == VALUES
    assert bits(home)["bits:of:status:pending"] == set(range(4, 1027))
    check(home, events, 1031)


@pytest.mark.parametrize("broad", [1, 1024])
def test_two_writers_meet_in_a_value_and_in_a_chunk(
    home: ReadModelHome, monkeypatch: pytest.MonkeyPatch, broad: int
) -> None:
    """Both have loaded before the other one writes: neither waits, or loads again."""
    make_values_broad(monkeypatch, broad)
    store = home.store
    generation = store.generation()
    events = [*map(event, range(4)), event(4, status="completed")]
    for number, one in enumerate(events):
        assert commit(store, generation, [one], number or None) is Outcome.STORED
    assert of_values(home) == (sorted([*VALUES, "of:status:completed"]) if broad == 1 else [])
    ours = [later(0, 2, status="completed", customer_id="cus_02"), event(5, status="completed")]
    theirs = [later(1, 2, status="completed", customer_id="cus_03"), deleted(2, 2), event(6, status="completed")]
    sent, sent_too = prepared(store, generation, ours, 5), prepared(store, generation, theirs, None, OTHER)
    assert send(store, generation, sent) is Outcome.STORED
    assert send(store, generation, sent_too) is Outcome.STORED
    check(home, [*events, *ours, *theirs], 10)
    lines = [line(0, "cus_02"), line(1, "cus_03"), b"", *(line(number, "cus_01") for number in range(3, 7))]
    assert home.client.hgetall(PREFIX + "text") == {b"0": b"".join(one + b"\xff" for one in lines) + b"\xff" * 121}


def test_groups_in_several_chunks(home: ReadModelHome) -> None:
    store = home.store
    generation = store.generation()
    events = [event(number) for number in range(300)]
    assert commit(store, generation, events[:130], None) is Outcome.STORED
    assert commit(store, generation, events[130:], 130) is Outcome.STORED
    chunks = home.client.hgetall(PREFIX + "text")
    assert chunks.keys() == {b"0", b"1", b"2"}
    assert chunks[b"1"].startswith(line(128, "cus_01") + b"\xff" + line(129, "cus_01") + b"\xffog_130\xfe")
    assert chunks[b"2"].split(b"\xff")[43:45] == [line(299, "cus_01"), b""]
    check(home, events, 300)


def test_changes_are_numbered_and_name_their_groups(home: ReadModelHome) -> None:
    store = home.store
    generation = store.generation()
    assert commit(store, generation, [event(1), event(2)], None) is Outcome.STORED
    # Nothing of a group changes.
    assert commit(store, generation, [event(1), BAD], 2) is Outcome.STORED
    assert commit(store, generation, [later(2, 2)], 4) is Outcome.STORED
    found = [
        (note.split(b":", 2), score) for note, score in home.client.zrange(PREFIX + "changed", 0, -1, withscores=True)
    ]
    assert [(parts[0], parts[2], score) for parts, score in found] == [
        (b"1", bytes(7) + b"\x01", 1.0),
        (b"2", b"\x00\x00\x00\x01", 2.0),
    ]
    assert found[0][0][1] != found[1][0][1]


def test_parked_events_that_are_redriven_or_discarded(home: ReadModelHome) -> None:
    store = home.store
    generation = store.generation()
    assert commit(store, generation, [event(1), BAD, BAD, BAD], None) is Outcome.STORED
    parked = readmodel.read(home.client).parked
    assert parked.keys() == {"orders/0@1", "orders/0@2", "orders/0@3"}
    redriven = request(
        Change(
            unparked=["orders/0@1", "orders/0@2"],
            parked={"orders/0@2": parked["orders/0@2"] + b" "},
            tally={"orders/0": {Fate.PARKED: -1, Fate.PASSED_OVER: 1}},
            redriven=True,
        ),
        {},
    )
    assert send(store, generation, redriven) is Outcome.STORED
    model = readmodel.read(home.client)
    assert model.parked == {"orders/0@2": parked["orders/0@2"] + b" ", "orders/0@3": parked["orders/0@3"]}
    assert home.client.hgetall(PREFIX + "position") == {b"orders/0": b"4", b"redriven": b"1"}
    assert (model.tally["orders/0:parked"], model.tally["orders/0:passed_over"]) == (2, 1)
    before = home.dump()
    assert send(store, generation, redriven) is Outcome.CHANGED, "one of them is still parked"
    assert home.dump() == before
    discarded = request(Change(unparked=["orders/0@3"], discarded={"orders/0@3": b"{}"}), {})
    assert send(store, generation, discarded) is Outcome.STORED
    assert send(store, generation, discarded) is Outcome.ALREADY
    model = readmodel.read(home.client)
    assert (list(model.parked), model.discarded) == (["orders/0@2"], {"orders/0@3": b"{}"})
    assert home.client.hgetall(PREFIX + "position")[b"redriven"] == b"1"
