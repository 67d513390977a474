"""REDIS_URL with sentinels."""

import pytest

from projector.errors import BadSetting
from projector.readmodel.client.sentinels import check, sentinels
from projector.settings import load_settings


def test_all_parts() -> None:
    found = sentinels(
        "redis+sentinel://me:p%40ss@one:26380,two,[::1]:26381,[::2]/mymaster/3?sentinel_password=s%26t&sentinel_username=u"
        "&health_check_interval=5"
    )
    assert found is not None
    assert found.hosts == [("one", 26380), ("two", 26379), ("::1", 26381), ("::2", 26379)]
    assert found.service == "mymaster"
    assert found.target == {"username": "me", "password": "p@ss", "db": 3, "health_check_interval": 5}
    assert found.sentinel == {"username": "u", "password": "s&t"}


def test_the_required_parts() -> None:
    found = sentinels("redis+sentinel://one/mymaster")
    assert found is not None
    assert (found.hosts, found.service) == ([("one", 26379)], "mymaster")
    assert (found.target, found.sentinel) == ({}, {})


def test_tls_applies_to_redis_and_sentinels() -> None:
    found = sentinels("rediss+sentinel://:secret@one/mymaster?ssl_ca_certs=/ca.pem")
    assert found is not None
    assert found.target == {"ssl": True, "password": "secret", "ssl_ca_certs": "/ca.pem"}
    assert found.sentinel == {"ssl": True, "ssl_ca_certs": "/ca.pem"}


@pytest.mark.parametrize("url", ["redis://h:6379/0", "rediss://h", "unix:///tmp/redis.sock"])
def test_other_urls_are_left_to_redis_py(url: str) -> None:
    assert sentinels(url) is None
    check(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://one",
        "redis+sentinel://one/",
        "redis+sentinel:///mymaster",
        "redis+sentinel://one:x/mymaster",
        "redis+sentinel://one,/mymaster",
        "sentinel://one/mymaster",
        "http://one",
        "one",
    ],
)
def test_an_invalid_url_is_reported_in_one_line(url: str) -> None:
    with pytest.raises(BadSetting) as found:
        load_settings({"REDIS_URL": url})
    assert str(found.value) == (
        "REDIS_URL: expected redis://host:6379/0, rediss://host, unix:///path, or "
        f"redis+sentinel://host:26379,host2:26379/service, got '{url}'"
    )
