"""Which connections stay open at the maximum, step by step."""

from collections.abc import Sequence

import pytest

from api.http.connections import Connections
from api.http.limits import TOO_MANY_CONNECTIONS, TOO_MANY_OF_ADDRESS


class Connection:
    def __init__(self, *, is_answering: bool = False) -> None:
        self.is_answering = is_answering
        self.is_evicted = False

    def evict(self) -> None:
        self.is_evicted = True


def added(connections: Connections, number: int) -> list[Connection]:
    ones = [Connection() for _ in range(number)]
    assert [connections.add(one, "10.0.0.1") for one in ones] == [None] * number
    return ones


def evicted(ones: Sequence[Connection]) -> list[int]:
    return [n for n, one in enumerate(ones) if one.is_evicted]


def test_the_oldest_anonymous_connection_is_evicted() -> None:
    connections = Connections(3, spare=1)
    ones = added(connections, 3)
    connections.mark_authenticated(ones[0])
    assert evicted(ones) == []
    ones += added(connections, 1)
    assert evicted(ones) == [1]
    ones += added(connections, 2)
    assert evicted(ones) == [1, 2, 3]
    assert not any(map(connections.is_spare, ones))


def test_a_connection_that_is_being_answered_stays() -> None:
    connections = Connections(2, spare=0)
    ones = added(connections, 2)
    ones[0].is_answering = True
    ones += added(connections, 1)
    assert evicted(ones) == [1]


def test_if_all_are_authenticated_new_connections_are_spare() -> None:
    connections = Connections(2, spare=2)
    ones = added(connections, 2)
    for one in ones:
        connections.mark_authenticated(one)
    ones += added(connections, 2)
    assert [connections.is_spare(one) for one in ones] == [False, False, True, True]
    ones += added(connections, 1)
    assert evicted(ones) == [2]
    assert connections.is_spare(ones[4])
    connections.remove(ones[0])
    # The oldest spare one became anonymous; removing the evicted one frees nothing.
    connections.remove(ones[2])
    assert [connections.is_spare(one) for one in ones] == [False, False, False, False, True]
    connections.mark_authenticated(ones[3])
    ones += added(connections, 1)
    assert evicted(ones) == [2]
    for one in (ones[4], ones[5]):
        one.is_answering = True
    assert connections.add(Connection(), "10.0.0.1") is TOO_MANY_CONNECTIONS


@pytest.mark.parametrize(
    ("addresses", "refused"),
    [
        (("10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.2"), [2]),
        # Three of one /64 network.
        (("2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::1", "2001:db8:0:1::1"), [2]),
    ],
)
def test_at_most_so_many_from_one_address(addresses: Sequence[str], refused: list[int]) -> None:
    connections = Connections(9, per_address=2)
    ones = [Connection() for _ in addresses]
    answers = [connections.add(*one) for one in zip(ones, addresses, strict=True)]
    assert [n for n, answer in enumerate(answers) if answer is TOO_MANY_OF_ADDRESS] == refused
    # Removing a refused one frees nothing.
    connections.remove(ones[2])
    assert connections.add(Connection(), addresses[0]) is TOO_MANY_OF_ADDRESS
    connections.remove(ones[0])
    connections.remove(ones[0])
    assert connections.add(Connection(), addresses[0]) is None
    assert connections.add(Connection(), addresses[0]) is TOO_MANY_OF_ADDRESS


def test_streams_come_on_top_of_the_maximum() -> None:
    streams = 0
    connections = Connections(2, spare=1, streams=lambda: streams)
    ones = added(connections, 2)
    for one in ones:
        connections.mark_authenticated(one)
    streams = 1
    ones += added(connections, 1)
    connections.mark_authenticated(ones[2])
    ones += added(connections, 1)
    assert [connections.is_spare(one) for one in ones] == [False, False, False, True]
