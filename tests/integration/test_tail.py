"""`projector tail`, as a process beside real servers."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests.integration.streams import Writer
from tests.processes import SECRET, Api, Process, projector, token
from tests.servers.process import wait_until

SOON_S = 20.0


@pytest.fixture
def writer(one_redis_url: str) -> Iterator[Writer]:
    store = Store(Nodes(one_redis_url))
    yield Writer(store)
    store.nodes.close()


def printed(process: Process, is_enough: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """Waits for these lines of JSON. Others are for people."""

    def found() -> list[dict[str, Any]]:
        whole = process.text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    wait_until(lambda: is_enough(found()), SOON_S, "lines of projector tail")
    return found()


def test_changes_are_printed_and_none_is_missed_while_the_api_restarts(
    one_redis_url: str, tmp_path: Path, writer: Writer
) -> None:
    writer.write(1)
    with Api(tmp_path, one_redis_url) as api:
        settings = {"API_URL": f"http://127.0.0.1:{api.port}/", "API_TOKEN": token()}
        with Process("tail", "limit=2", cwd=tmp_path, **settings) as tail:
            (first,) = printed(tail, lambda lines: len(lines) == 1)
            assert first == {
                "event": "change",
                "id": f"{writer.generation.nonce}:1",
                "position": "orders/0@1",
                "ids": [],
                "list": {"count": 1, "changed": True},
            }
            before = writer.write(2)
            lines = printed(tail, lambda lines: before <= named(lines))
            assert lines[-1]["list"] == {"count": 3, "changed": True}
            assert api.stop() == 0
            meanwhile = writer.write(3)
            served = {"API_PORT": str(api.port), "REDIS_URL": one_redis_url, "JWT_SECRET": SECRET}
            with Process("serve", cwd=tmp_path, **served):
                lines = printed(tail, lambda lines: before | meanwhile <= named(lines))
                assert [line["event"] for line in lines] == ["change"] * len(lines)
                assert tail.stop(signal.SIGINT) == 130
            last = lines[-2]["id"]
    with Api(tmp_path, one_redis_url) as api:
        settings = {"API_PORT": str(api.port), "JWT_SECRET": SECRET}
        with Process("tail", "--last-id", last, cwd=tmp_path, **settings) as tail:
            assert named(printed(tail, lambda lines: len(lines) == 1)) == meanwhile


def named(lines: list[dict[str, Any]]) -> set[str]:
    return {group for line in lines for group in line.get("ids", ())}


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (
            ("limit=x",),
            {"JWT_SECRET": SECRET},
            "400 Invalid request: Expected type: 'number' for field 'limit', got: 'x'",
        ),
        ((), {"API_TOKEN": "x"}, "API_TOKEN, JWT_SECRET: "),
        ((), {"API_URL": "ftp:/x", "API_TOKEN": "x"}, "ftp:/x: "),
    ],
)
def test_what_waiting_cannot_fix_is_one_line_and_exit_code_2(
    one_redis_url: str, tmp_path: Path, arguments: tuple[str, ...], settings: dict[str, str], message: str
) -> None:
    with Api(tmp_path, one_redis_url) as api:
        done = projector("tail", *arguments, cwd=tmp_path, settings={"API_PORT": str(api.port), **settings})
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
