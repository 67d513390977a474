"""Whatever a directory is called, the URLs of the log and of Redis in it lead back to it."""

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from redis.connection import parse_url

from events.errors import BadLogUrl
from events.logs.open import open_log, sqlite_url
from events.logs.sqlite.log import SqliteLog
from projector.home import Home

names = st.binary(min_size=1, max_size=20).filter(lambda name: b"/" not in name and b"\0" not in name)


@given(st.lists(names, min_size=1, max_size=3))
@example([b"x%41y"])
@example([b"x#y"])
@example([b"x?y"])
@example([b"a b\n\xc3\xbc"])
@example([b"\xff"])
def test_urls_lead_back_to_paths(parts: list[bytes]) -> None:
    path = Path("/", *map(os.fsdecode, parts))
    log = open_log(sqlite_url(path / "orders.db"), {})
    assert isinstance(log, SqliteLog)
    assert os.fsencode(log.path) == os.fsencode(path / "orders.db")
    home = Home(path)
    assert parse_url(home.redis_url)["path"] == str(home.redis_socket)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("url", ["sqlite:///tmp/x#y/orders.db", "sqlite:///tmp/x?y/orders.db"])
def test_what_would_be_cut_off_is_refused(url: str) -> None:
    with pytest.raises(BadLogUrl, match="%23 and %3F"):
        open_log(url, {})
