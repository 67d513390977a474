"""What the metrics of a projector show of Redis."""

from contextlib import closing

from prometheus_client.parser import text_string_to_metric_families

from projector.health.metrics import Metrics
from projector.health.pulse import Pulse
from projector.health.redis_state import read_redis_state
from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests.servers.redis import RedisHome, RedisServer

LIMIT = 512 * 1024 * 1024


def exposed(url: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Returns the metrics of the projector after one look at Redis."""
    pulse = Pulse()
    with closing(Nodes(url)) as nodes:
        pulse.redis_state = read_redis_state(Store(nodes), None)
    families = text_string_to_metric_families(Metrics(pulse).text("")[0].decode())
    return {
        family.name.removeprefix("order_groups_projector_"): [(s.labels, s.value) for s in family.samples]
        for family in families
    }


def test_paused_partitions_late_dead_letters_and_memory(redis_home: RedisHome) -> None:
    with RedisServer(redis_home) as server, server.client() as client:
        client.config_set("maxmemory", LIMIT)
        client.hset("{og:live}:paused", mapping={"orders/0": "{}", "orders/3": "{}"})
        client.sadd("{og:live}:untold", "orders/0@1", "orders/0@2", "orders/3@7")
        used = client.info("memory")["used_memory"]
        found = exposed(server.url)
        assert found["paused_partitions"] == [({}, 2)]
        assert found["dead_letters_due"] == [({}, 3)]
        where = {"server": server.url.removeprefix("redis://")}
        assert found["redis_memory_limit_bytes"] == [(where, LIMIT)]
        ((server_of, size),) = found["redis_memory_bytes"]
        assert server_of == where
        assert used / 2 < size < used * 2
        client.config_set("maxmemory", 0)
        ((_, limit),) = exposed(server.url)["redis_memory_limit_bytes"]
        assert limit == client.info("memory")["total_system_memory"] > LIMIT


def test_a_user_who_may_not_read_the_memory_gets_the_rest(redis_home: RedisHome) -> None:
    with RedisServer(redis_home) as server, server.client() as client:
        client.execute_command("ACL", "SETUSER", "limited", "on", ">secret", "~*", "&*", "+@all", "-info")
        client.hset("{og:live}:paused", "orders/0", "{}")
        found = exposed(server.url.replace("redis://", "redis://limited:secret@"))
        assert found["paused_partitions"] == [({}, 1)]
        assert found["redis_memory_bytes"] == []
