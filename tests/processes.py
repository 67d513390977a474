"""Runs `projector ...` in processes, as a user does."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import httpx
import jwt
import redis

from tests import forked
from tests.readmodel import prefixes
from tests.servers.process import SLACK, free_port, wait_until

SECRET = "a-secret-for-tests-of-32-characters!"
PROJECTOR = (sys.executable, "-m", "projector")
START_S = 20.0
# How long a command may take to its end.
COMMAND_S = 240.0 * SLACK


def environment(**settings: str) -> dict[str, str]:
    """Returns our environment, without settings of the developer."""
    ours = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LOG_FORMAT": "console"}
    if "PYTHONDONTWRITEBYTECODE" in os.environ:
        # Who asked for a clean tree asked it of these as well.
        ours["PYTHONDONTWRITEBYTECODE"] = "1"
    return {**ours, **settings}


def is_forkable(arguments: Sequence[str], variables: Mapping[str, str]) -> bool:
    """Not what starts Python processes by its own means, nor what replaces modules before they are imported."""
    has_workers = "--workers" in arguments or "API_WORKERS" in variables
    return arguments[0] != "up" and not (arguments[0] == "serve" and has_workers) and "PYTHONPATH" not in variables


def projector(
    *arguments: str, cwd: Path, stdin: bytes = b"", settings: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Runs one command to its end."""
    variables = environment(**settings or {})
    if is_forkable(arguments, variables):
        return forked.run(arguments, cwd, variables, stdin, COMMAND_S)
    return spawned(*arguments, cwd=cwd, stdin=stdin, settings=settings)


def spawned(
    *arguments: str, cwd: Path, stdin: bytes = b"", settings: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """As `projector`, in a new interpreter."""
    return subprocess.run(
        [*PROJECTOR, *arguments],
        cwd=cwd,
        env=environment(**settings or {}),
        input=stdin.decode(),
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )


class Process:
    """A process that is killed at the end of the `with` block, if it still runs."""

    # The beginning of the command line, for example `unshare --pid`.
    prefix: Sequence[str] = ()

    def __init__(self, *arguments: str, cwd: Path, **settings: str) -> None:
        self.output = cwd / f"{arguments[0]}-{free_port()}.txt"
        variables = environment(**settings)
        self.output.touch()
        self.process: subprocess.Popen[bytes] | forked.Forked
        if is_forkable(arguments, variables) and not self.prefix:
            self.process = forked.Forked(arguments, cwd, variables, [Path(os.devnull), self.output, self.output])
            return
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                [*self.prefix, *PROJECTOR, *arguments],
                cwd=cwd,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 5.0) -> int:
        """Sends a signal. Returns the exit code. Raises TimeoutExpired."""
        self.process.send_signal(number)
        return self.wait_for_end(timeout_s)

    def wait_for_end(self, timeout_s: float) -> int:
        """Waits for its end. Returns the exit code. Raises TimeoutExpired after SLACK times `timeout_s`."""
        return self.process.wait(timeout_s * SLACK)

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

    def wait_until_ready(self) -> None:
        """Waits for the text that `q` searches, too."""
        wait_until(lambda: self.client.get("/health/ready").status_code == 200, START_S, "the API to be ready")

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
