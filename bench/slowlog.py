"""Durations of calls in Redis, from its slow log."""

import redis

from bench.contest import Calls, Wrong
from tests.servers.process import wait_until

# Threshold of the slow log, in microseconds: logging a command takes time itself.
_SLOWER_THAN_US = 100
_SLOWLOG_ENTRIES = 10_000
_IDLE_S = 120
_REWRITE_S = 600.0
# The no-op script: it reads nothing, and takes as long as this project's longer calls.
_LOOP = "local sum = 0 for n = 1, tonumber(ARGV[1]) do sum = sum + n % 7 end return sum"
_LOOP_TURNS = 100_000
_LOOP_S = 0.0025


class SlowLog:
    """Collects the durations of calls since a reset."""

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client
        self._called = 0
        client.config_set("slowlog-log-slower-than", _SLOWER_THAN_US)
        client.config_set("slowlog-max-len", _SLOWLOG_ENTRIES)
        # A rewrite that the replay has started would be measured too.
        wait_until(lambda: not _rewrites(client), _REWRITE_S, "the rewrite of the append-only file")

    def reset(self) -> None:
        self._redis.slowlog_reset()
        self._called = self._calls()

    def calls(self) -> Calls:
        """Since the reset."""
        entries = self._redis.slowlog_get(_SLOWLOG_ENTRIES)
        if len(entries) == _SLOWLOG_ENTRIES:
            raise Wrong(f"expected fewer than {_SLOWLOG_ENTRIES:,} entries in the slow log, which drops older ones")
        # The slow log also has commands called by scripts, and at most one of our own: the reset.
        took = [(entry["command"].upper(), entry["duration"] / 1_000_000) for entry in entries]
        noted = [seconds for command, seconds in took if command.startswith(b"EVALSHA")]
        longest = max((seconds for command, seconds in took if not command.startswith(b"SLOWLOG")), default=0.0)
        return Calls(self._calls() - self._called, noted, longest)

    def _calls(self) -> int:
        stats = self._redis.info("commandstats")
        calls: int = stats.get("cmdstat_evalsha", {}).get("calls", 0)
        return calls

    def wait_until_idle(self) -> None:
        """Redis may still run a call whose request timed out; the next one would wait for it."""

        def is_idle() -> bool:
            try:
                return bool(self._redis.ping())
            except redis.TimeoutError:
                return False

        wait_until(is_idle, _IDLE_S, "Redis to be idle")


class Loop:
    """Runs the no-op script, whose durations vary only with the noise of the machine."""

    def __init__(self, client: "redis.Redis", slow: SlowLog) -> None:
        self._redis = client
        self._slow = slow
        self._script = client.script_load(_LOOP)
        self.calls: list[Calls] = []
        took_s = sorted(self._took(_LOOP_TURNS, 1).longest for _ in range(9))[4]
        self._turns = round(_LOOP_TURNS * _LOOP_S / took_s)

    def run(self, times: int) -> None:
        self.calls.append(self._took(self._turns, times))

    def _took(self, turns: int, times: int) -> Calls:
        self._slow.reset()
        for _ in range(times):
            self._redis.evalsha(self._script, 0, turns)
        return self._slow.calls()


def _rewrites(client: "redis.Redis") -> bool:
    found = client.info("persistence")
    return bool(found["aof_rewrite_in_progress"] or found["rdb_bgsave_in_progress"])
