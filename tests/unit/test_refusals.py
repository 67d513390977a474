"""The reasons of errors of Redis, as redis-py raises them."""

import pytest
import redis
from redis._parsers.base import BaseParser

from projector.readmodel.client.refusals import Refusal, refusal_of, text_of

NOPERM, TRYAGAIN, CLUSTERDOWN = Refusal.NOPERM, Refusal.TRYAGAIN, Refusal.CLUSTERDOWN


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        ("LOADING Redis is loading the dataset in memory", Refusal.LOADING),
        ("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", Refusal.BUSY),
        ("READONLY You can't write against a read only replica.", Refusal.READONLY),
        ("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist.", Refusal.MISCONF),
        ("MISCONF Errors writing to the AOF file: No space left on device", Refusal.MISCONF),
        ("OOM command not allowed when used memory > 'maxmemory'.", Refusal.OOM),
        ("NOREPLICAS Not enough good replicas to write.", Refusal.NOREPLICAS),
        ("NOSCRIPT No matching script. Please use EVAL.", Refusal.NOSCRIPT),
        ("NOAUTH Authentication required.", Refusal.NOAUTH),
        ("WRONGPASS invalid username-password pair or user is disabled.", Refusal.NOAUTH),
        ("NOPERM User default has no permissions to run the 'evalsha' command", Refusal.NOPERM),
        ("MOVED 3999 127.0.0.1:6381", Refusal.MOVED),
        ("ASK 3999 127.0.0.1:6381", Refusal.ASK),
        ("TRYAGAIN Multiple keys request during rehashing of slot", Refusal.TRYAGAIN),
        ("CLUSTERDOWN The cluster is down", Refusal.CLUSTERDOWN),
        ("CLUSTERDOWN Hash slot not served", Refusal.CLUSTERDOWN),
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", Refusal.MASTERDOWN),
        ("ERR max number of clients reached", Refusal.CLIENTS),
        (
            "ERR The user executing the script can't run this command or subcommand script: 1f, on @user_script:2.",
            NOPERM,
        ),
        ("ERR ACL failure in script: User api has no permissions to run the 'bitop' command script: on @u:2.", NOPERM),
        ("ERR Script attempted to access a non local key in a cluster node script: 1f, on @user_script:2.", TRYAGAIN),
        ("ERR Script attempted to execute a command while the cluster is down script: 1f, on @u:2.", CLUSTERDOWN),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", Refusal.OTHER),
        ("ERR unknown command 'HGET'", Refusal.OTHER),
    ],
)
def test_the_reason_of_an_error_reply(answer: str, refusal: Refusal) -> None:
    assert refusal_of(BaseParser.parse_error(answer)) is refusal  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (redis.ConnectionError("Connection closed by server."), Refusal.AWAY),
        (redis.TimeoutError("Timeout reading from socket"), Refusal.TIMEOUT),
        (redis.exceptions.RedisClusterException("no master has og:live"), Refusal.CLUSTERDOWN),
        (redis.InvalidResponse("Protocol Error: b'HTTP/1.1'"), Refusal.OTHER),
    ],
)
def test_the_reason_of_a_lost_connection(error: Exception, refusal: Refusal) -> None:
    assert refusal_of(error) is refusal


@pytest.mark.parametrize(
    "answer",
    [
        "WRONGPASS invalid username-password pair or user is disabled.",
        "NOAUTH Authentication required.",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "MISCONF Errors writing to the AOF file: No space left on device",
    ],
)
def test_the_text_of_an_error_reply_is_that_of_redis(answer: str) -> None:
    assert text_of(BaseParser.parse_error(answer)) == answer  # type: ignore[no-untyped-call]


def test_the_text_of_an_error_without_one_is_its_kind() -> None:
    assert text_of(TimeoutError()) == "TimeoutError"
    assert text_of(redis.ConnectionError("Connection closed by server.")) == "Connection closed by server."


def test_the_text_of_an_unknown_host_names_it() -> None:
    with redis.Redis(host="no.invalid") as client, pytest.raises(redis.ConnectionError) as caught:
        client.ping()
    assert text_of(caught.value).startswith("cannot resolve the host name no.invalid: ")
