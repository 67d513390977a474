"""A master of a Redis Cluster is killed: projector and API continue with its replica."""

from pathlib import Path

from redis import Redis
from redis.crc import key_slot

from tests import oracle, readmodel
from tests.integration.test_sentinel import listed
from tests.integration.test_way import marketplace
from tests.integration.watched import Projector, append
from tests.processes import Api, live
from tests.readmodel import PREFIX
from tests.servers.cluster import ClusterServer
from tests.servers.process import wait_until
from tests.servers.redis import RedisHome

EVENTS = marketplace(200)
PART = 200
# Shortens the time until a replica takes over, and until a master counts as failed.
QUICK = ("--repl-diskless-sync-delay", "0", "--cluster-node-timeout", "1500")


def test_a_replica_takes_over(cluster_server_home: RedisHome, tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/orders.db"
    append(url)
    with ClusterServer(cluster_server_home, settings=QUICK) as server:
        slot = key_slot((PREFIX + "meta").encode())
        # The URL of a node that stays, and has no slot of the shard.
        owner = server.owner(slot)
        stays = server.nodes[(owner + 1) % 3].url
        with (
            server.replica(owner) as replica,
            Projector(tmp_path, EVENT_LOG_URL=url, REDIS_URL=stays) as run,
            Api(tmp_path, stays) as api,
        ):

            def check(node_url: str, ends: dict[str, int], sent: int) -> None:
                """Checks that the complete shard is on that node."""
                with Redis.from_url(node_url) as client:
                    where = {name.encode(): str(end).encode() for name, end in ends.items()}
                    wait_until(lambda: client.hgetall(PREFIX + "position") == where, 30, "all to be applied")
                    model = readmodel.read(client)
                readmodel.check(model, EVENTS[:sent])
                readmodel.check_accounting(model, sent)
                ids = sorted(oracle.groups(EVENTS[:sent]))
                wait_until(lambda: [group["id"] for group in listed(api)] == ids, 10, "the list")
                wait_until(run.is_ready, 10, "the projector to be ready")

            check(server.nodes[owner].url, append(url, *EVENTS[:PART]), PART)
            server.nodes[owner].kill()
            ends = append(url, *EVENTS[PART : 2 * PART])
            with replica.client() as client:
                wait_until(lambda: client.role()[0] == b"master", 30, "the replica to take over")
            check(replica.url, ends, 2 * PART)
            refused = ("AWAY", "TIMEOUT", "CLUSTERDOWN", "MOVED")
            assert sum(run.metric("redis_refusals_total", refusal=refusal) for refusal in refused) >= 1
            (over,) = run.incidents("resumed")
            assert over["attempts"] >= 3
            with server.client() as whole:
                assert live(whole) == (0, 1)
            assert (run.stop(), api.stop()) == (0, 0)
