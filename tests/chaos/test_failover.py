"""Kills a master of a Redis Cluster, then the replica that took over, and so on, under load."""

import os
import random
from pathlib import Path

import pytest
import redis

from tests import readmodel
from tests.chaos.stage import Stage
from tests.chaos.survived import survived
from tests.integration.test_cluster_failover import QUICK
from tests.processes import applied, projector
from tests.servers.cluster import ClusterServer
from tests.servers.process import wait_until
from tests.servers.redis import RedisHome

# `make chaos` runs 30.
ROUNDS = int(os.environ.get("CHAOS_FAILOVER_ROUNDS", 2))
WAIT_S = 40.0


@pytest.mark.chaos
@pytest.mark.timeout(120 + 60 * ROUNDS)
def test_replicas_take_over_in_turn(cluster_server_home: RedisHome, tmp_path: Path) -> None:
    """Replication is asynchronous: the projector reads again what the new master lacks."""
    chance = random.Random(9)
    with ClusterServer(cluster_server_home, settings=QUICK) as server, server.client() as client:
        slot = client.keyslot(readmodel.PREFIX + "meta")
        owner = server.owner(slot)
        stays = server.nodes[(owner + 1) % 3].url
        with server.replica(owner) as replica, Stage(tmp_path, stays) as stage, stage.start("run") as run:
            pair = [server.nodes[owner], replica]
            for _ in range(ROUNDS):
                master, other = pair
                target = chance.randint(1, 400) + stage_applied(master.url)
                stage.publish(500)
                wait_until(lambda: stage_applied(master.url) >= target, WAIT_S, "some to be applied")  # noqa: B023
                master.kill()
                stage.publish(500)
                with other.client() as one:
                    wait_until(lambda: one.role()[0] == b"master", WAIT_S, "the replica to take over")
                    wait_until(lambda: applied(one) == stage.ledger.ends, WAIT_S, "all to be applied")
                    stage.ledger.check(readmodel.read(one))
                    master.restart()
                    wait_until(lambda: replicas(one) == 1, WAIT_S, "the former master to follow")
                pair.reverse()
            verified = projector("verify", cwd=tmp_path, settings=stage.settings)
            assert verified.returncode == 0, verified.stdout + verified.stderr
            assert run.process.poll() is None, run.text()
            assert run.stop() == 0
    survived("a replica of the cluster takes over", ROUNDS, stage.ledger.records)


def stage_applied(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return sum(applied(client).values())


def replicas(client: "redis.Redis") -> int:
    """Returns the number of replicas in sync."""
    known = client.info("replication")
    return sum(known[f"slave{number}"]["state"] == "online" for number in range(known["connected_slaves"]))
