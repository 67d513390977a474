"""The owner of each slot, from a reply of CLUSTER SLOTS."""

from projector.readmodel.client.topology import Topology, topology

# As Redis 7 answers: first slot, last slot, then each node with its preferred name, port, id and other names.
REPLY = [
    [5461, 10922, [b"10.0.0.2", 7001, b"id2", []], [b"10.0.0.5", 7005, b"id5", []]],
    [0, 5460, [b"node-1.example", 7000, b"id1", [b"ip", b"10.0.0.1"]]],
    [10923, 16000, [b"", 7002, b"id3", []], [None, 7003, b"id4", []]],
    [16001, 16001, [b"?", 7004]],
]


def test_each_slot_has_the_master_of_its_range() -> None:
    found = topology(REPLY, "source")
    owners = {slot: found.owner(slot) for slot in (0, 5460, 5461, 10922, 10923, 16000, 16001)}
    assert owners == {
        0: ("node-1.example", 7000),
        5460: ("node-1.example", 7000),
        5461: ("10.0.0.2", 7001),
        10922: ("10.0.0.2", 7001),
        10923: ("source", 7002),
        16000: ("source", 7002),
        16001: ("source", 7004),
    }
    assert found.owner(16002) is None
    assert found.owner(16383) is None


def test_masters_come_before_replicas() -> None:
    assert topology(REPLY, "source").nodes == (
        ("node-1.example", 7000),
        ("10.0.0.2", 7001),
        ("source", 7002),
        ("source", 7004),
        ("10.0.0.5", 7005),
        ("source", 7003),
    )


def test_slots_without_nodes() -> None:
    assert topology([], "source") == Topology((0,), (None,), ())
    assert topology([[0, 16383]], "source").owner(7) is None
