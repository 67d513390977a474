"""A refused commit writes nothing, whichever command Redis refuses, and everything when it is retried."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from projector.errors import StoreUnavailable
from projector.store.commit import Outcome
from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests import readmodel
from tests.integration.committing import make_values_broad
from tests.integration.torn import BROAD_GROUPS_MIN, COMMANDS, PARTITIONS, SEED, Torn, content, rich_batch
from tests.servers.cluster import ClusterServer, Place
from tests.servers.redis import RedisHome, RedisServer

# HEXISTS is used only by redrives and discards.
USED = sorted(COMMANDS - {"HEXISTS"})


@pytest.fixture(autouse=True)
def _small_values_have_bitmaps(monkeypatch: pytest.MonkeyPatch) -> None:
    make_values_broad(monkeypatch, BROAD_GROUPS_MIN)


def refused_as(store: Store, life: Torn, request: list[str | bytes]) -> str:
    with pytest.raises(StoreUnavailable) as refused:
        store.commit(life.generation, 0, request).outcome()
    return refused.value.refusal


def test_without_permission_for_one_command(redis_url: str) -> None:
    life = Torn(Place(redis_url, is_cluster=False), SEED)
    request = life.request(PARTITIONS[0], rich_batch(life))
    before = life.content()
    for command in USED:
        life.client.execute_command("ACL", "SETUSER", "default", f"-{command.lower()}")
        try:
            assert refused_as(life.store, life, request) == "NOPERM", command
        finally:
            life.client.execute_command("ACL", "SETUSER", "default", f"+{command.lower()}")
        assert life.content() == before, command
    assert life.store.commit(life.generation, 0, request).outcome() is Outcome.STORED
    life.check()
    life.close()


def test_with_permission_for_keys_of_the_shard_alone(redis_url: str) -> None:
    life = Torn(Place(redis_url, is_cluster=False), SEED)
    request = life.request(PARTITIONS[0], rich_batch(life))
    rules = ("reset", "on", ">secret", f"~{readmodel.PREFIX}*", "&*", "+@all")
    life.client.execute_command("ACL", "SETUSER", "writer", *rules)
    store = Store(Nodes(redis_url.replace("//", "//writer:secret@")))
    try:
        assert store.commit(life.generation, 0, request).outcome() is Outcome.STORED
    finally:
        store.nodes.close()
        life.client.execute_command("ACL", "DELUSER", "writer")
    life.check()
    life.close()


def test_on_a_server_without_one_command(redis_home: RedisHome) -> None:
    """By `rename-command`, as some providers configure it."""
    with RedisServer(redis_home, "--appendonly", "no") as server:
        life = Torn(Place(server.url, is_cluster=False), SEED)
        request = life.request(PARTITIONS[0], rich_batch(life))
        before = life.content()
        life.client.save()
        for command in USED:
            renamed = ("--appendonly", "no", "--rename-command", command, "HIDDEN" + command)
            with RedisServer(redis_home, *renamed) as other, other.client() as client:
                shutil.copy(server.directory / "dump.rdb", other.directory)
                other.kill()
                other.restart()
                store = Store(Nodes(other.url))
                assert refused_as(store, life, request) in ("NOPERM", "OTHER"), command
                assert content(client, hidden=command) == before, command
                store.nodes.close()
        assert life.store.commit(life.generation, 0, request).outcome() is Outcome.STORED
        life.check()
        life.close()


@pytest.fixture
def cluster(cluster_server_home: RedisHome) -> Iterator[ClusterServer]:
    with ClusterServer(cluster_server_home) as server:
        yield server


def test_while_the_slot_migrates(cluster: ClusterServer) -> None:
    """Whichever keys have moved, on either node."""
    life = Torn(Place(cluster.url, is_cluster=True), SEED)
    slot = life.client.keyslot(readmodel.PREFIX + "meta")
    request = life.request(PARTITIONS[0], rich_batch(life))
    before = life.content()
    to = (cluster.owner(slot) + 1) % 3
    begun = cluster.begin_move(slot, to)
    keys = len(before)
    for moved in (0, 1, keys // 2, keys):
        if moved:
            cluster.move_keys(slot, to, moved)
        for _ in range(3):
            assert refused_as(life.store, life, request) in ("ASK", "TRYAGAIN")
        with cluster.node_clients() as clients:
            held = content(clients[begun]) | content(clients[to], asking=True)
        assert held == before
    cluster.move(slot, to)
    assert life.store.commit(life.generation, 0, request).outcome() is Outcome.STORED
    life.check()
    life.close()


def test_while_a_migration_is_cancelled(cluster: ClusterServer) -> None:
    """Keys of new groups do not exist yet: a running script fails at the first of them."""
    life = Torn(Place(cluster.url, is_cluster=True), SEED)
    slot = life.client.keyslot(readmodel.PREFIX + "meta")
    request = life.request(PARTITIONS[0], rich_batch(life))
    before = life.content()
    begun = cluster.begin_move(slot, (cluster.owner(slot) + 1) % 3)
    assert refused_as(life.store, life, request) == "TRYAGAIN"
    assert life.content() == before
    with cluster.node_clients() as clients:
        node: Any = clients[begun]
        node.execute_command("CLUSTER SETSLOT", slot, "STABLE")
    assert life.store.commit(life.generation, 0, request).outcome() is Outcome.STORED
    life.check()
    life.close()
