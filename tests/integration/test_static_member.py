"""Two projectors with one KAFKA_INSTANCE: the older one says so, waits, and takes over when the other one has ended."""

import signal
from collections.abc import Callable
from pathlib import Path

from redis import Redis

from tests.integration.watched import Projector, append
from tests.poison import event
from tests.processes import wait_until_applied
from tests.servers.process import wait_until

TWICE = "another process has our instance id 'orders-0' in the group "


def test_of_two_projectors_with_one_instance_the_older_one_waits_for_the_end_of_the_newer_one(
    kafka_topic: Callable[[int], str], one_redis_url: str, tmp_path: Path
) -> None:
    url = kafka_topic(1)
    settings = {"EVENT_LOG_URL": url, "REDIS_URL": one_redis_url, "KAFKA_INSTANCE": "orders-0"}
    with Projector(tmp_path, **settings) as older, Redis.from_url(one_redis_url) as client:
        wait_until_applied(client, append(url, event(1)))
        wait_until(older.is_ready, 20, "the older one")
        with Projector(tmp_path, **settings) as newer:
            wait_until(newer.is_ready, 20, "the newer one")
            wait_until(lambda: bool(older.incidents("waiting")), 20, "the line of the log")
            (line,) = older.incidents("waiting")
            assert TWICE in line["reason"]
            assert "FENCED_INSTANCE_ID: The broker rejected this static consumer" in line["reason"]
            wait_until(lambda: "it is at 127.0.0.1" in str(older.why_not_ready()), 10, "where the other one is")
            assert older.why_not_ready()[0].startswith("waiting for log: ")
            # It does not fight for the id.
            wait_until_applied(client, append(url, event(2)))
            assert (newer.is_ready(), newer.incidents("waiting")) == (True, [])
            assert newer.stop(signal.SIGKILL) == -signal.SIGKILL
            ends = append(url, event(3))
            wait_until_applied(client, ends)
        wait_until(older.is_ready, 20, "the older one again")
        (resumed,) = older.incidents("resumed")
        assert TWICE in resumed["last_reason"]
        assert older.stop() == 0
