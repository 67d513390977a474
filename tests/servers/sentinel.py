"""A real Redis with a replica, and the sentinels that watch over both."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from tests.servers.process import Daemon, free_port, wait_until
from tests.servers.redis import RedisHome, RedisServer

SERVICE = "mymaster"
READY_S = 20.0
# A master that is silent for so long is down, in milliseconds.
DOWN_MS = 500


class SentinelServer:
    """Of one's own: two servers, the first of them master, and two sentinels, which are of one mind at once.

    `url` names also a sentinel that is not there, as the first. `password` is that of the sentinels.
    """

    def __init__(self, home: RedisHome, password: str = "of-the-sentinels") -> None:
        assert home.binary, "in Docker they would tell their clients addresses inside it"
        master = RedisServer(home)
        self.servers = [master, RedisServer(home, "--replicaof", "127.0.0.1", str(_port(master)))]
        self._directory = tempfile.TemporaryDirectory(prefix="sentinel-")
        self._password = password
        self._ports = [free_port(), free_port()]
        self._daemons = [self._daemon(home.binary, port) for port in self._ports]
        self._stack = ExitStack()
        hosts = ",".join(f"127.0.0.1:{port}" for port in (free_port(), *self._ports))
        self.url = f"redis+sentinel://{hosts}/{SERVICE}?sentinel_password={password}"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._directory.cleanup)
            for server in self.servers:
                stack.enter_context(server)
            for daemon, port in zip(self._daemons, self._ports, strict=True):
                stack.callback(daemon.stop)
                daemon.start(lambda port=port: self._knows_both(port), READY_S)  # type: ignore[misc]
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def master(self) -> int:
        """The number of the server that the sentinels name."""
        with self._ask(self._ports[0]) as sentinel:
            _, port = sentinel.sentinel_get_master_addr_by_name(SERVICE)
        return [_port(server) for server in self.servers].index(port)

    def fail_over(self) -> None:
        """As an operator does it; returns when the other one is master, and the former one its replica."""
        wait_until(self.is_whole, READY_S, "a replica to go over to")
        before = self.master()
        with self._ask(self._ports[0]) as sentinel:
            sentinel.sentinel_failover(SERVICE)
        wait_until(lambda: self.master() != before and self.is_whole(), READY_S, "the failover")

    def is_whole(self) -> bool:
        """Whether the other one is a replica of the master, and has caught up."""
        with self.servers[1 - self.master()].client() as client:
            try:
                found: Any = client.info("replication")
            except redis.RedisError:
                return False
            with self._ask(self._ports[0]) as sentinel:
                (known,) = sentinel.sentinel_slaves(SERVICE)
        up = found["role"] == "slave" and found["master_link_status"] == "up"
        return up and not known["is_disconnected"] and not known["is_sdown"]

    def _knows_both(self, port: int) -> bool:
        with self._ask(port) as sentinel:
            try:
                return bool(sentinel.sentinel_slaves(SERVICE))
            except redis.RedisError:
                return False

    @contextmanager
    def _ask(self, port: int) -> Iterator[Any]:
        with redis.Redis(port=port, password=self._password) as client:
            yield client

    def _daemon(self, binary: Path, port: int) -> Daemon:
        directory = Path(self._directory.name) / str(port)
        directory.mkdir()
        config = directory / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\nrequirepass {self._password}\nsentinel sentinel-pass {self._password}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {_port(self.servers[0])} 1\n"
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_MS}\nsentinel failover-timeout {SERVICE} 3000\n"
        )
        return Daemon([str(binary), str(config), "--sentinel"], directory)


def _port(server: RedisServer) -> int:
    return int(server.url.rpartition(":")[2])
