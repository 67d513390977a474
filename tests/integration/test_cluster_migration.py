"""A slot that migrates to another node: each answer is right, or a 503, at every stage; plain reads go on."""

import asyncio
import json
import random
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import product
from typing import Any
from urllib.parse import quote
from zlib import crc32

import httpx
import pytest
from redis.crc import key_slot
from redis.exceptions import AskError, TryAgainError

from projector.readmodel.client.batches import Batches, Block, Command, Reply
from projector.readmodel.query.lua.scripts import CHANGED, COMBINE, END, ONE, PREPARE, RANK, REFRESH
from projector.readmodel.schema.keys import Keys
from tests.fields import DEFAULT_FIELDS
from tests.integration.client import BEARER, Api, running
from tests.integration.naive import Request, answer, shown
from tests.integration.queries import shown_as_json
from tests.integration.seed import go_live, make_groups, write
from tests.integration.test_errors import assert_unavailable
from tests.integration.ways import force
from tests.servers.cluster import ClusterServer, cluster_if_any
from tests.servers.process import wait_until
from tests.servers.redis import RedisHome

LIST = "/admin/order-groups"
GROUPS = make_groups(random.Random(20261201), 300)
SHARDS = 2
KEYS = Keys("og:{0.1}:")
MOVED, POINTER_SLOT = key_slot(KEYS.meta.encode()), key_slot(b"og:live")
# How long a request waits for a slot that migrates, in milliseconds: most of them wait in vain here.
WAIT_MS = 150

ASKED: dict[str, Request] = {
    "limit=20&offset=30": Request(limit=20, offset=30),
    "limit=1000&fields=*orders": Request(limit=1000, names=(*DEFAULT_FIELDS, "orders")),
    "status=pending&limit=300": Request(limit=300, any_of={"status": ["pending"]}),
    "status=pending&sales_channel_id=sc_web&order=total": Request(
        any_of={"status": ["pending"], "sales_channel_id": ["sc_web"]}, sort="total", descending=False
    ),
    "total[$gt]=5&order=updated_at": Request(
        ranges={"total": {"$gt": Decimal(5)}}, sort="updated_at", descending=False
    ),
    "customer_id=cus_1": Request(any_of={"customer_id": ["cus_1"]}),
    "q=cus_1": Request(q="cus_1"),
}
LISTS = {f"{LIST}?{query}": shown_as_json(answer(GROUPS, request, SHARDS)) for query, request in ASKED.items()}
ONES = {
    f"{LIST}/{quote(group['id'], safe='')}?fields=id,total,orders": {
        "order_group": shown_as_json(shown(group, Request(names=("id", "total", "orders"))))
    }
    for group in GROUPS[::60]
}
EXPECTED = LISTS | ONES

# Orders in which the keys of a shard may move. What scripts declare, and what they find by its prefix.
DECLARED = (":row", ":record", ":text", ":ordinal", ":changed", ":position")


def is_declared(key: str) -> bool:
    return key.split("}", 1)[1].startswith(DECLARED)


def is_found_by_prefix(key: str) -> bool:
    return not is_declared(key)


def is_of_one_half(key: str) -> bool:
    return crc32(key.encode()) % 2 == 0


Wanted = Callable[[str], bool]
STAGES = [is_declared, is_found_by_prefix, is_of_one_half]
SCRIPTS = (CHANGED, COMBINE, END, ONE, PREPARE, RANK, REFRESH)


@pytest.fixture(scope="module")
def _server() -> Iterator[ClusterServer | None]:
    """One of this module's own."""
    with cluster_if_any() as server:
        yield server


@pytest.fixture
def server(
    cluster_server_home: RedisHome, _server: ClusterServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ClusterServer]:
    """Filled, and each node knows all scripts, as where it has shards of its own."""
    # So few groups are answered by bitmaps, too, which scripts do not declare.
    force(monkeypatch, FEW_MEMBERS=5)
    _server.clear()
    with _server.node_clients() as clients:
        for client, script in product(clients, SCRIPTS):
            client.script_load(script.text)
    with _server.client() as client:
        write(client, GROUPS, shards=SHARDS)
        go_live(client, shards=SHARDS)
        for shard in range(SHARDS):
            client.hset(f"og:{{0.{shard}}}:position", "orders/0", 7)
    yield _server
    for slot in (MOVED, POINTER_SLOT):
        _server.cancel_move(slot)


@pytest.fixture
def asked(server: ClusterServer) -> Iterator[Api]:
    with running(server.url, redis_wait_ms=WAIT_MS) as api:
        api.wait_until_ready()
        yield api


def begin_move(server: ClusterServer, slot: int) -> tuple[int, int]:
    """To the next node: the numbers of both."""
    to = (server.owner(slot) + 1) % 3
    return server.begin_move(slot, to), to


def run(client: Any, *command: str | bytes | int) -> Any:
    return client.execute_command(*command)


def body(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return json.loads(response.content, parse_float=Decimal)


def right_answers(asked: Api) -> int:
    """How many are answered. The others are 503, none is wrong."""
    right = 0
    for path, expected in EXPECTED.items():
        response = asked.get(path)
        if response.status_code == 200:
            assert body(response) == expected, path
            right += 1
        else:
            assert_unavailable(response)
    return right


def all_are_right(asked: Api) -> None:
    """None is a 503, unless this machine is busy for a while."""
    wait_until(lambda: right_answers(asked) == len(EXPECTED), 10, "all answers")


def scripts_of(asked: Api, monkeypatch: pytest.MonkeyPatch) -> set[Command]:
    """What is sent for these answers, and for the health of the API."""
    sent: set[Command] = set()
    send = Batches.send

    def recorded(batches: Batches, command: Command | Block) -> "asyncio.Future[Reply]":
        sent.update(command.commands if isinstance(command, Block) else (command,))
        return send(batches, command)

    with monkeypatch.context() as patch:
        patch.setattr(Batches, "send", recorded)
        all_are_right(asked)
        asked.get("/health/ready", {})
    return {command for command in sent if command[0] == "EVALSHA"}


@pytest.mark.parametrize("first", STAGES)
def test_no_script_runs_while_its_slot_moves(
    server: ClusterServer, asked: Api, monkeypatch: pytest.MonkeyPatch, first: Wanted
) -> None:
    """A key that a script finds by its prefix would be missing, for Redis knows nothing of it."""
    force(monkeypatch, WORK_AT_ONCE=-1, RECORD_BYTES=SHARDS, WALKED_GROUPS=0)
    commands = [one for one in scripts_of(asked, monkeypatch) if "og:{0.1}:absent" in one]
    assert {command[1] for command in commands} == {script.digest for script in SCRIPTS}
    begun, to = begin_move(server, MOVED)
    for stage in (lambda key: False, first, lambda key: True):
        server.move_keys(MOVED, to, wanted=stage)
        with server.node_clients() as clients:
            for command in commands:
                with pytest.raises((TryAgainError, AskError)):
                    run(clients[begun], *command)
                asking = clients[to].pipeline(transaction=False)
                run(asking, "ASKING")
                run(asking, *command)
                _, refused = asking.execute(raise_on_error=False)
                assert isinstance(refused, TryAgainError), command
    server.move(MOVED, to)


@pytest.mark.parametrize("first", STAGES)
def test_no_answer_is_wrong_at_any_stage(server: ClusterServer, asked: Api, first: Wanted) -> None:
    all_are_right(asked)
    begun, to = begin_move(server, MOVED)
    right_answers(asked)
    with server.node_clients() as clients:
        keys = run(clients[begun], "CLUSTER COUNTKEYSINSLOT", MOVED)
        server.move_keys(MOVED, to, wanted=first)
        assert 0 < run(clients[begun], "CLUSTER COUNTKEYSINSLOT", MOVED) < keys
    right_answers(asked)
    server.move_keys(MOVED, to)
    right_answers(asked)
    server.move(MOVED, to)
    all_are_right(asked)


@pytest.mark.parametrize("endpoint", ["ip", "unknown-endpoint"])
def test_a_single_key_that_has_moved_is_followed(server: ClusterServer, asked: Api, endpoint: str) -> None:
    """The pointer, which each answer needs, and the positions, which a 304 needs. The new node may have no name."""
    tag = asked.get(f"{LIST}?limit=1").headers["ETag"]
    with server.node_clients() as clients:
        try:
            for client in clients:
                client.config_set("cluster-preferred-endpoint-type", endpoint)
            _, to = begin_move(server, POINTER_SLOT)
            server.move_keys(POINTER_SLOT, to)
            all_are_right(asked)
            server.move(POINTER_SLOT, to)
            _, to = begin_move(server, MOVED)
            server.move_keys(MOVED, to)
            assert asked.get(f"{LIST}?limit=1", BEARER | {"If-None-Match": tag}).status_code == 304
        finally:
            for client in clients:
                client.config_set("cluster-preferred-endpoint-type", "ip")


def test_a_move_that_is_given_up(server: ClusterServer, asked: Api) -> None:
    _, to = begin_move(server, MOVED)
    server.move_keys(MOVED, to, wanted=is_of_one_half)
    right_answers(asked)
    server.cancel_move(MOVED)
    all_are_right(asked)


def test_a_large_page_is_read_as_a_whole(server: ClusterServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The records have moved, that by which it is asked whether they have changed has not."""
    force(monkeypatch, RECORD_BYTES=SHARDS)
    path = f"{LIST}?limit=1000&fields=*orders"
    with running(server.url) as asked:
        assert body(asked.get(path)) == EXPECTED[path]
        _, to = begin_move(server, MOVED)
        server.move_keys(MOVED, to, wanted=lambda key: key.endswith(":record"))
        end = threading.Timer(0.3, server.move, (MOVED, to))
        end.start()
        assert body(asked.get(path)) == EXPECTED[path]
        end.join()
