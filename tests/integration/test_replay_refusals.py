"""A replay refuses to lose events that the log no longer has, with the reason. The live generation stays unchanged."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from events.logs.kafka.url import kafka_settings
from events.logs.open import open_log
from tests.integration.rebuilding import Shop
from tests.processes import projector
from tests.servers.process import wait_until

EVENTS = 600


@pytest.fixture
def shop(tmp_path: Path, one_redis_url: str, kafka_topic: Callable[[int], str]) -> Shop:
    shop = Shop(tmp_path, one_redis_url, kafka_topic(2))
    shop.publish(EVENTS)
    return shop


def test_a_truncated_log(shop: Shop) -> None:
    apply(shop)
    topic = topic_of(shop)
    with admin(shop) as kafka:
        kafka.delete_records({TopicPartition(topic, 1): 50})
    refused(shop, "--accept-loss retention", f"{topic}/1 begins at 50")
    shop.replay("build", "--yes", "--accept-loss", "retention")
    # The loss shows as differences, which must be accepted as well.
    assert shop.replay("verify", fails=1).stdout
    assert "--accept-differences" in shop.replay("switch", fails=2).stderr


def test_what_is_left_of_a_log(shop: Shop) -> None:
    """Into an empty Redis, from a log without its beginning."""
    topic = topic_of(shop)
    with admin(shop) as kafka:
        kafka.delete_records({TopicPartition(topic, 1): 50})
    assert "--accept-loss retention" in shop.replay("--yes", fails=2).stderr
    assert shop.states() == {}
    results = shop.steps("--yes", "--accept-loss", "retention")
    assert results["plan"]["events"] == results["verify"]["events"] == EVENTS - 50
    assert shop.states() == {0: "live"}


@pytest.mark.parametrize(
    ("setting", "loss"), [({"cleanup.policy": "compact"}, "compaction"), ({"retention.ms": "1000000"}, "retention")]
)
def test_a_log_that_will_lose_events(shop: Shop, setting: Mapping[str, str], loss: str) -> None:
    apply(shop)
    topic = topic_of(shop)
    with admin(shop) as kafka:
        kafka.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, dict(setting))])
    refused(shop, f"--accept-loss {loss}", *setting, topic)
    shop.replay("--yes", "--accept-loss", loss)
    shop.check()


def test_a_topic_made_anew(shop: Shop) -> None:
    """It is longer than the former one, so positions do not show the difference."""
    apply(shop)
    topic = topic_of(shop)
    before = list(shop.events)
    with admin(shop) as kafka:
        kafka.delete_topics([topic])
    with open_log(shop.log_url, {}) as log:
        wait_until(log.create, 20, "the topic is gone")
    shop.ends.clear()
    shop.events.clear()
    shop.publish(3 * EVENTS)
    stopped = projector("run", cwd=shop.folder, settings=shop.settings)
    assert stopped.returncode == 2
    assert "deleted and created again" in stopped.stderr
    assert "projector replay --accept-loss recreated" in stopped.stderr
    refused(shop, "--accept-loss recreated", "deleted and created again")
    assert shop.states() == {0: "live"}
    shop.replay("--yes", "--accept-loss", "recreated")
    shop.check()
    with shop.run():
        shop.publish(100)
        shop.wait()
        shop.check()
    assert before
    # A rollback would lead to another log, and is refused.
    assert "another log" in shop.replay("rollback", fails=2).stderr


def test_a_file_made_anew(tmp_path: Path, one_redis_url: str) -> None:
    shop = Shop(tmp_path, one_redis_url)
    shop.publish(EVENTS)
    apply(shop)
    for file in tmp_path.glob("orders.db*"):
        file.unlink()
    shop.ends.clear()
    shop.events.clear()
    shop.publish(2 * EVENTS)
    assert projector("run", cwd=tmp_path, settings=shop.settings).returncode == 2
    refused(shop, "--accept-loss recreated", "deleted and created again")
    shop.replay("--yes", "--accept-loss", "recreated")
    shop.check()


def test_a_generation_begun_from_a_log_that_is_gone(tmp_path: Path, one_redis_url: str) -> None:
    shop = Shop(tmp_path, one_redis_url)
    shop.publish(EVENTS)
    shop.replay("build", "--yes")
    for file in tmp_path.glob("orders.db*"):
        file.unlink()
    shop.publish(10)
    assert "projector replay drop 0" in shop.replay("--yes", fails=2).stderr


def test_without_a_log_or_a_redis(tmp_path: Path, one_redis_url: str) -> None:
    shop = Shop(tmp_path, one_redis_url)
    assert "there is no log" in shop.replay("--yes", fails=2).stderr
    shop.publish(10)
    shop.settings["REDIS_URL"] = "redis://127.0.0.1:1"
    assert "Redis does not answer" in shop.replay("--yes", fails=2).stderr


def refused(shop: Shop, *texts: str) -> None:
    """The replay fails with these texts, and changes nothing."""
    model, states = shop.model(), shop.states()
    failed = shop.replay("--yes", fails=2)
    assert [words for words in texts if words not in failed.stderr] == []
    assert shop.model() == model
    assert shop.states() == states


def apply(shop: Shop) -> None:
    """Runs a projector until all is applied."""
    with shop.run() as run:
        shop.wait()
        assert run.stop() == 0


def topic_of(shop: Shop) -> str:
    return kafka_settings(shop.log_url, {}).topic


@contextmanager
def admin(shop: Shop) -> Iterator[Any]:
    client = KafkaAdminClient(bootstrap_servers=list(kafka_settings(shop.log_url, {}).servers))
    try:
        yield client
    finally:
        client.close()
