"""Brokers are killed, topics grow, members join and leave, while events are published."""

import os
import random
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from tests.chaos.stage import Stage
from tests.chaos.survived import survived
from tests.processes import Process
from tests.servers.kafka import KafkaHome, KafkaServer, new_topic
from tests.servers.process import wait_until

# `make chaos` runs 30.
ROUNDS = int(os.environ.get("CHAOS_BROKER_ROUNDS", 1))
SESSION_MS = 2500
# How often a member joins or leaves, in seconds, and how many times per round.
MEMBER_S = 2.0
MEMBERS = 4


@pytest.fixture(scope="module")
def broker(kafka_server_home: KafkaHome) -> Iterator[KafkaServer]:
    with KafkaServer(kafka_server_home) as server:
        yield server


def member(stack: ExitStack, stage: Stage) -> Process:
    return stack.enter_context(stage.start("run", session_ms=SESSION_MS, metadata_ms=1000))


@pytest.mark.thorough
@pytest.mark.timeout(120 + 120 * ROUNDS)
def test_brokers_die_topics_grow_members_join_and_leave(
    broker: KafkaServer, tmp_path: Path, one_redis_url: str
) -> None:
    chance = random.Random(5)
    killed = grown = moved = 0
    # After a topic has grown, events of a group are in two partitions.
    with (
        ExitStack() as stack,
        Stage(tmp_path, one_redis_url, new_topic(broker.bootstrap, 2), exact=False) as stage,
    ):
        members = [member(stack, stage), member(stack, stage)]
        stage.publish(500)
        stage.wait()
        for _ in range(ROUNDS):
            stage.publish(2000)
            broker.kill()
            killed += 1
            broker.restart()
            stage.reopen()
            stage.publish(500)
            stage.wait()
            stage.check_now()

            grown += add_partition(broker, stage)
            stage.reopen()
            stage.publish(500)
            stage.wait()
            stage.check_now()

            for _ in range(MEMBERS):
                moved += join_or_leave(stack, stage, members, chance)
                stage.publish(300)
                with pytest.raises(TimeoutError):
                    wait_until(lambda: False, MEMBER_S, "the pause")
            stage.wait()
            stage.check_now()
        stage.check()
        assert all(one.process.poll() is None for one in members)
        for one in members:
            assert one.stop(timeout_s=20) == 0
    assert (killed, grown, moved) == (ROUNDS, ROUNDS, ROUNDS * MEMBERS)
    survived("broker killed and started again", killed, stage.ledger.records)
    survived("partition added", grown, stage.ledger.records)
    survived("member joins or leaves, every 2 s", moved, stage.ledger.records)


def add_partition(broker: KafkaServer, stage: Stage) -> int:
    with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
        before = len(stage.log.partitions())
        admin.create_partitions({stage.log.topic: before + 1})
    wait_until(lambda: len(stage.log.partitions()) == before + 1, 20, "the new partition")
    return 1


def join_or_leave(stack: ExitStack, stage: Stage, members: list[Process], chance: random.Random) -> int:
    """Starts or stops a member, cleanly or by SIGKILL. At least one remains."""
    if len(members) < 2 or (len(members) < 4 and chance.random() < 0.5):
        members.append(member(stack, stage))
    else:
        leaving = members.pop(chance.randrange(len(members)))
        if chance.random() < 0.5:
            code = leaving.stop(timeout_s=20)
            # On a busy machine it may not have installed its signal handler yet.
            assert code == 0 or (code == -signal.SIGTERM and not leaving.text())
        else:
            leaving.stop(signal.SIGKILL)
    return 1
