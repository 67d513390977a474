"""Runs `projector ...` in processes, as a user does."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import httpx
import jwt
import redis

from tests.readmodel import prefixes
from tests.servers.process import free_port, wait_until

SECRET = "a-secret-for-tests-of-32-characters!"
START_S = 20.0


def environment(**settings: str) -> dict[str, str]:
    """Returns our environment, without settings of the developer."""
    ours = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LOG_FORMAT": "console"}
    if "PYTHONDONTWRITEBYTECODE" in os.environ:
        # Who asked for a clean tree asked it of these as well.
        ours["PYTHONDONTWRITEBYTECODE"] = "1"
    return {**ours, **settings}


def projector(
    *arguments: str, cwd: Path, stdin: bytes = b"", settings: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Runs a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "projector", *arguments],
        cwd=cwd,
        env=environment(**settings or {}),
        input=stdin.decode(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


class Process:
    """A process that is killed at the end of the `with` block, if it still runs."""

    def __init__(self, *arguments: str, cwd: Path, **settings: str) -> None:
        self.output = cwd / f"{arguments[0]}-{free_port()}.txt"
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                self.command(*arguments),
                cwd=cwd,
                env=environment(**settings),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "projector", *arguments]

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 5.0) -> int:
        """Sends a signal. Returns the exit code. Raises TimeoutExpired."""
        self.process.send_signal(number)
        return self.process.wait(timeout_s)

    def text(self) -> str:
        return self.output.read_text()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if error:
            print(f"--- {self.output.name}\n{self.text()}")


def token(secret: str = SECRET, **claims: object) -> str:
    return jwt.encode({"actor_type": "user", "actor_id": "user_1", "exp": 4_000_000_000, **claims}, secret, "HS256")


class Api(Process):
    """`projector serve` on a free port; `get` sends a valid token."""

    def __init__(self, cwd: Path, redis_url: str, **settings: str) -> None:
        self.port = free_port()
        ours = {"API_PORT": str(self.port), "REDIS_URL": redis_url, "JWT_SECRET": SECRET}
        super().__init__("serve", cwd=cwd, **{**ours, **settings})
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers={"Authorization": f"Bearer {token()}"}, timeout=30
        )
        wait_until(self._answers, START_S, "projector serve")

    def get(self, parameters: Mapping[str, object]) -> bytes:
        answer = self.client.get("/admin/order-groups", params={k: str(v) for k, v in parameters.items()})
        assert answer.status_code == 200, answer.text
        return answer.content

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        super().__exit__(kind, error, trace)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.text()
        try:
            return self.client.get("/health/live").status_code == 200
        except httpx.TransportError:
            return False


def applied(client: "redis.Redis", number: int = 0, shards: int = 1) -> dict[str, int]:
    """Returns the generation's positions: partition -> the lowest next offset of all shards."""
    lowest: dict[str, int] = {}
    for prefix in prefixes(number, shards):
        for name, offset in cast(dict[bytes, bytes], client.hgetall(prefix + "position")).items():
            if name == b"redriven":
                continue
            lowest[name.decode()] = min(int(offset), lowest.get(name.decode(), int(offset)))
    return lowest


def live(client: "redis.Redis") -> tuple[int, int]:
    """Returns number and shards of the live generation."""
    found = json.loads(cast(bytes, client.get("og:live")))
    return found["number"], found["shards"]


def wait_until_applied(client: "redis.Redis", ends: Mapping[str, int], timeout_s: float = 60.0) -> None:
    """Waits until the live generation has applied everything."""
    wait_until(lambda: _is_live(client) and applied(client, *live(client)) == dict(ends), timeout_s, f"{ends} applied")


def _is_live(client: "redis.Redis") -> bool:
    return client.exists("og:live") == 1
