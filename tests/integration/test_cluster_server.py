"""The test cluster works: keys are on several nodes, and a slot can move."""

from redis.cluster import RedisCluster

from tests.servers.cluster import ClusterServer
from tests.servers.redis import RedisHome

KEYS = [f"key_{n}" for n in range(100)]


def test_keys_are_on_all_nodes(cluster_url: str) -> None:
    with RedisCluster.from_url(cluster_url) as client:
        assert client.dbsize() == 0
        for key in KEYS:
            client.set(key, key)
        assert len({client.get_node_from_key(key).name for key in KEYS}) == 3
        assert [client.get(key) for key in KEYS] == [key.encode() for key in KEYS]


def test_a_slot_moves_with_its_keys(cluster_server_home: RedisHome) -> None:
    with ClusterServer(cluster_server_home) as server, server.client() as client:
        client.set("key", "before")
        slot = client.keyslot("key")
        to = (server.owner(slot) + 1) % len(server.nodes)
        server.move(slot, to)
        assert server.owner(slot) == to
        assert client.get("key") == b"before"
        with server.node_clients() as nodes:
            assert nodes[to].get("key") == b"before"
