"""A real Redis with a replica, and a sentinel that monitors both."""

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
# A master that does not answer for so long is down, in milliseconds.
DOWN_MS = 1000
# The sentinel's periods, in milliseconds. The defaults are seconds, and some steps take several periods. What it knows
# of a replica is valid for five pings; while the master is down, it asks the replica once a second.
PERIODS_MS = {"ping-period": 300, "info-period": 200, "publish-period": 200, "ask-period": 200}


class SentinelServer:
    """Two servers, the first of which is the master, and one sentinel: several would need to agree first.

    `url` also names, before it, a sentinel that does not exist. `password`: of the sentinel.
    """

    def __init__(self, home: RedisHome, password: str = "of-the-sentinel") -> None:
        assert home.binary, "servers in Docker would announce addresses that clients cannot reach"
        # Otherwise the master waits seconds for more replicas.
        no_delay = ("--repl-diskless-sync-delay", "0")
        master = RedisServer(home, *no_delay)
        self.servers = [master, RedisServer(home, *no_delay, "--replicaof", "127.0.0.1", str(_port(master)))]
        self._directory = tempfile.TemporaryDirectory(prefix="sentinel-")
        self._password = password
        self._port = free_port()
        self._daemon = Daemon([str(home.binary), str(self._config()), "--sentinel"], Path(self._directory.name))
        self._stack = ExitStack()
        hosts = ",".join(f"127.0.0.1:{port}" for port in (free_port(), self._port))
        self.url = f"redis+sentinel://{hosts}/{SERVICE}?sentinel_password={password}"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._directory.cleanup)
            for server in self.servers:
                stack.enter_context(server)
            stack.callback(self._daemon.stop)
            self._daemon.start(self._set_periods, READY_S)
            wait_until(self.is_whole, READY_S, "the replica")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def master(self) -> int:
        """Returns the number of the server that the sentinel considers master."""
        with self._sentinel() as sentinel:
            _, port = sentinel.sentinel_get_master_addr_by_name(SERVICE)
        return [_port(server) for server in self.servers].index(port)

    def fail_over(self) -> None:
        """Fails over by command; returns when the servers have swapped roles."""
        wait_until(self.is_whole, READY_S, "a replica to fail over to")
        before = self.master()
        with self._sentinel() as sentinel:
            sentinel.sentinel_failover(SERVICE)
        wait_until(lambda: self.master() != before and self.is_whole(), READY_S, "the failover")

    def is_whole(self) -> bool:
        """Whether the other server is a replica in sync, and the sentinel knows it."""
        with self.servers[1 - self.master()].client() as client:
            try:
                found: Any = client.info("replication")
            except redis.RedisError:
                return False
            with self._sentinel() as sentinel:
                known = sentinel.sentinel_slaves(SERVICE)
        up = found["role"] == "slave" and found["master_link_status"] == "up"
        fine = [one for one in known if not (one["is_disconnected"] or one["is_sdown"] or one["is_odown"])]
        return up and [one["master-link-status"] for one in fine] == ["ok"]

    def _set_periods(self) -> bool:
        with self._sentinel() as sentinel:
            try:
                sentinel.execute_command("SENTINEL", "DEBUG", *(part for pair in PERIODS_MS.items() for part in pair))
            except redis.RedisError:
                return False
        return True

    @contextmanager
    def _sentinel(self) -> Iterator[Any]:
        with redis.Redis(port=self._port, password=self._password) as client:
            yield client

    def _config(self) -> Path:
        config = Path(self._directory.name) / "sentinel.conf"
        config.write_text(
            f"port {self._port}\nbind 127.0.0.1\nrequirepass {self._password}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {_port(self.servers[0])} 1\n"
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_MS}\nsentinel failover-timeout {SERVICE} 3000\n"
        )
        return config


def _port(server: RedisServer) -> int:
    return int(server.url.rpartition(":")[2])
