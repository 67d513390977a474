"""More connections than the maximum, on real sockets: anonymous ones never displace authenticated ones."""

import random
import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from redis import Redis

from tests.integration.client import TOKEN
from tests.integration.raw import LIST, Answer, Connection, request
from tests.integration.seed import make_groups, serve
from tests.integration.test_server import serving
from tests.servers.process import wait_until

PLACES = 20
# As many as are kept for what is open to all.
SPARE = 100
KNOWN = f"Authorization: Bearer {TOKEN}\r\n".encode()
HEALTH = "/health/live"


@pytest.fixture(autouse=True)
def _filled(one_redis_url: str) -> None:
    with Redis.from_url(one_redis_url) as client:
        serve(client, make_groups(random.Random(3), 20))


@pytest.fixture
def open_ones() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def port_of(url: str) -> int:
    return int(url.rsplit(":")[-1])


def ask(port: int, target: str = LIST) -> Answer:
    with Connection(port) as connection:
        connection.send(request(target, KNOWN))
        return connection.got()


def is_closed(connection: Connection) -> bool:
    connection.socket.setblocking(False)
    try:
        return connection.socket.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def refused(port: int, reason: str) -> float:
    text = ask(port, "/metrics").body.decode()
    found = re.search(rf'^order_groups_api_refused_total{{reason="{reason}"}} (\S+)$', text, re.MULTILINE)
    return float(found[1]) if found else 0.0


# What those send who have no credentials: nothing, half a request, a whole one.
SENT = {"nothing": b"", "half": request(headers=KNOWN)[:-10], "no credentials": request(headers=b"")}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("sent", SENT)
def test_anonymous_connections_displace_no_client(
    one_redis_url: str, open_ones: ExitStack, sent: str, workers: int
) -> None:
    """However many there are, authenticated clients are answered, and the oldest anonymous ones are closed."""
    with serving(one_redis_url, connections_max=PLACES, workers=workers) as (_, url):
        port, crowd = port_of(url), []
        for _ in range(10 * PLACES):
            one = open_ones.enter_context(Connection(port))
            one.send(SENT[sent])
            if sent == "no credentials":
                assert one.got().status == 401
            crowd.append(one)
        for _ in range(2 * PLACES):
            assert ask(port).status == 200
            assert ask(port, HEALTH).status == 200
        assert refused(port, "gave_way") > 0
        # The kernel gives connections to any of the workers.
        stays = sum(not is_closed(one) for one in crowd)
        assert stays <= workers * PLACES
        assert all(map(is_closed, crowd[:PLACES]))
        assert not is_closed(crowd[-1])


def test_health_is_answered_at_the_maximum(one_redis_url: str, open_ones: ExitStack) -> None:
    with serving(one_redis_url, connections_max=PLACES) as (_, url):
        port = port_of(url)
        held = [open_ones.enter_context(Connection(port)) for _ in range(PLACES)]

        def use_all() -> None:
            """Keeps them open: idle connections are closed after some seconds."""
            for one in held:
                one.send(request(headers=KNOWN))
                assert one.got().status == 200

        use_all()
        # The oldest spare ones are closed for new ones, too.
        for _ in range(2 * SPARE):
            open_ones.enter_context(Connection(port))
        use_all()
        answer = ask(port)
        assert answer.status == 503
        assert (answer.headers["retry-after"], answer.headers["connection"]) == ("1", "close")
        assert answer.json() == {"type": "unavailable", "message": "Too many connections. Try again."}
        for path in (HEALTH, "/health/ready"):
            assert ask(port, path).status in (200, 503)
        assert ask(port, HEALTH).status == 200
        spare = open_ones.enter_context(Connection(port))
        spare.send(request(HEALTH, b""))
        assert spare.got().status == 200
        use_all()
        held.pop().socket.close()
        wait_until(lambda: ask(port).status == 200, 5, "a place that was left")


def test_at_most_so_many_from_one_address(one_redis_url: str, open_ones: ExitStack) -> None:
    with serving(one_redis_url, connections_per_address_max=3) as (_, url):
        port = port_of(url)

        def connected(address: str) -> Connection:
            return open_ones.enter_context(Connection(port, source=address))

        held = [connected("127.0.0.2") for _ in range(3)]
        for one in held:
            one.send(request(headers=KNOWN))
            assert one.got().status == 200
        answer = connected("127.0.0.2").got()
        assert answer.status == 503
        assert answer.json()["message"] == "Too many connections from this address. Try again."
        other = connected("127.0.0.3")
        other.send(request(headers=KNOWN))
        assert other.got().status == 200
        assert refused(port, "address") == 1
        held.pop().socket.close()

        def is_answered() -> bool:
            again = connected("127.0.0.2")
            again.send(request(headers=KNOWN))
            return again.got().status == 200

        wait_until(is_answered, 5, "a place of that address")
