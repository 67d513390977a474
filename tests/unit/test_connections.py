"""Who stays connected when places run out, step by step."""

from collections.abc import Sequence

import pytest

from api.http.connections import Connections
from api.http.limits import TOO_MANY_CONNECTIONS, TOO_MANY_OF_ADDRESS


class One:
    def __init__(self, *, is_answering: bool = False) -> None:
        self.is_answering = is_answering
        self.has_given_way = False

    def give_way(self) -> None:
        self.has_given_way = True


def entered(connections: Connections, number: int) -> list[One]:
    ones = [One() for _ in range(number)]
    assert [connections.enter(one, "10.0.0.1") for one in ones] == [None] * number
    return ones


def gone(ones: Sequence[One]) -> list[int]:
    return [n for n, one in enumerate(ones) if one.has_given_way]


def test_the_oldest_unknown_one_makes_room() -> None:
    connections = Connections(3, spare=1)
    ones = entered(connections, 3)
    connections.know(ones[0])
    assert gone(ones) == []
    ones += entered(connections, 1)
    assert gone(ones) == [1]
    ones += entered(connections, 2)
    assert gone(ones) == [1, 2, 3]
    assert not any(map(connections.is_spare, ones))


def test_one_whose_answer_is_under_way_stays() -> None:
    connections = Connections(2, spare=0)
    ones = entered(connections, 2)
    ones[0].is_answering = True
    ones += entered(connections, 1)
    assert gone(ones) == [1]


def test_where_all_are_known_the_next_ones_are_spare() -> None:
    connections = Connections(2, spare=2)
    ones = entered(connections, 2)
    for one in ones:
        connections.know(one)
    ones += entered(connections, 2)
    assert [connections.is_spare(one) for one in ones] == [False, False, True, True]
    ones += entered(connections, 1)
    assert gone(ones) == [2]
    assert connections.is_spare(ones[4])
    connections.leave(ones[0])
    # The oldest of them is one of the others now, and the one that gave way has no place to be left.
    connections.leave(ones[2])
    assert [connections.is_spare(one) for one in ones] == [False, False, False, False, True]
    connections.know(ones[3])
    ones += entered(connections, 1)
    assert gone(ones) == [2]
    for one in (ones[4], ones[5]):
        one.is_answering = True
    assert connections.enter(One(), "10.0.0.1") is TOO_MANY_CONNECTIONS


@pytest.mark.parametrize(
    ("addresses", "refused"),
    [
        (("10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.2"), [2]),
        # Of one network of 64 bits.
        (("2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::1", "2001:db8:0:1::1"), [2]),
    ],
)
def test_those_of_one_address(addresses: Sequence[str], refused: list[int]) -> None:
    connections = Connections(9, per_address=2)
    ones = [One() for _ in addresses]
    answers = [connections.enter(*one) for one in zip(ones, addresses, strict=True)]
    assert [n for n, answer in enumerate(answers) if answer is TOO_MANY_OF_ADDRESS] == refused
    # One that was refused leaves no place.
    connections.leave(ones[2])
    assert connections.enter(One(), addresses[0]) is TOO_MANY_OF_ADDRESS
    connections.leave(ones[0])
    connections.leave(ones[0])
    assert connections.enter(One(), addresses[0]) is None
    assert connections.enter(One(), addresses[0]) is TOO_MANY_OF_ADDRESS
