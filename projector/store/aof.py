"""Makes each master rewrite its append-only file once after every start.

A server whose file ends within a transaction truncates it at its start. Redis up to 8.2 and Valkey up to 9.1.1 truncate
after the last complete command, and leave the beginning of the transaction in the file. Later writes are appended, and
the next start applies that beginning together with the transaction that follows it. A rewrite removes it.

Positions do not always show that a file was torn: the lost commit may not have been acknowledged, or no projector ran.
So every start of a server makes a rewrite due. INFO counts the rewrites since the start, so it does not matter which
process requested one, nor whether that process sees its end.

Redis stores, for each master, the run whose rewrite is due. If the server starts again before the rewrite is done, its
data may already be wrong, and an error is logged.
"""

import re
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, cast

import redis
import structlog
from msgspec import Struct

from projector.readmodel.client.refusals import Refusal, refusal_of
from projector.readmodel.schema.generations import REWRITES
from projector.store.nodes import Nodes, address_of

# The first and the longest pause after a rewrite that failed, in seconds.
PAUSE_FIRST_S = 1.0
PAUSE_MAX_S = 60.0
# The first Valkey that truncates before the incomplete transaction. No such version of Redis is known.
SOUND_VALKEY = (9, 1, 2)

ADVICE = (
    "run BGREWRITEAOF by hand after each start of Redis, or let our user do it: ACL SETUSER ... +info +bgrewriteaof. "
    "Else the next start may apply half a transaction"
)

log = structlog.get_logger("projector")


class Rewrite(StrEnum):
    """DONE     the file has no incomplete transaction.
    FAILED   the rewrite failed, as on a full disk. It is retried.
    REFUSED  our user lacks the permission, or the server has no such command.
    LATE     the server started again before the rewrite was done.
    """

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    LATE = "late"


OnRewrite = Callable[[Rewrite], None]


class Run(Struct):
    """A server from one start to the next. `try_at_s`: earliest time of the next request, by the monotonic clock."""

    is_settled: bool = False
    is_asked: bool = False
    try_at_s: float = 0.0
    pause_s: float = PAUSE_FIRST_S


class AppendOnlyFiles:
    """Not thread-safe. `counted` receives the result of each rewrite."""

    def __init__(self, nodes: Nodes, counted: OnRewrite = lambda rewrite: None) -> None:
        self._nodes = nodes
        self._counted = counted
        self._runs: dict[str, Run] = {}
        self._is_info_denied = False

    def refresh(self) -> list[str]:
        """Requests due rewrites, and returns the unfinished ones as texts. Does not wait. Raises StoreUnavailable."""
        found = {}
        for client in self._nodes.all():
            info = self._info(client)
            if info is not None:
                # Some providers hide run_id: then restarts go unnoticed.
                found[str(info.get("run_id", address_of(client)))] = client, info
        self._runs = {run_id: self._runs.get(run_id, Run()) for run_id in found}
        if all(run.is_settled for run in self._runs.values()):
            return []
        noted = self._noted()
        unfinished = []
        for run_id, (client, info) in found.items():
            run, server = self._runs[run_id], address_of(client)
            if not run.is_settled:
                self._advance(client, info, run_id, run, server, noted.get(server))
            if not run.is_settled:
                unfinished.append(f"Redis at {server} rewrites its append-only file")
        return unfinished

    def _advance(
        self, client: redis.Redis, info: Mapping[str, Any], run_id: str, run: Run, server: str, due: str | None
    ) -> None:
        if due is not None and due != run_id:
            self._counted(Rewrite.LATE)
            log.error(
                "Redis restarted before its append-only file was rewritten, and may have applied half a transaction: "
                "run `projector verify`, and if it finds differences, `projector replay`",
                server=server,
            )
        is_under_way = bool(info.get("aof_rewrite_in_progress") or info.get("aof_rewrite_scheduled"))
        if _is_whole(info) and not is_under_way:
            if due is not None:
                self._nodes.write_even_if_full(REWRITES, "HDEL", REWRITES, server)
            if due == run_id:
                self._counted(Rewrite.DONE)
                log.info("Redis has rewritten its append-only file", server=server)
            run.is_settled = True
            return
        if due != run_id:
            # Noted before the rewrite begins: we may be killed while it runs.
            self._nodes.write_even_if_full(REWRITES, "HSET", REWRITES, server, run_id)
        if is_under_way:
            run.is_asked = True
        elif run.is_asked:
            self._failed(run, server, "it ended with an error; the log of Redis has the reason")
        else:
            self._ask(client, run, server)

    def _ask(self, client: redis.Redis, run: Run, server: str) -> None:
        if time.monotonic() < run.try_at_s:
            return
        with self._nodes.errors():
            try:
                client.bgrewriteaof()
                run.is_asked = True
            except redis.ResponseError as error:
                match refusal_of(error):
                    case Refusal.NOPERM:
                        self._refused(run, server, str(error))
                    case Refusal.OTHER if "unknown command" in str(error):
                        self._refused(run, server, str(error))
                    case Refusal.OTHER if "already in progress" in str(error):
                        run.is_asked = True
                    case Refusal.OTHER:
                        self._failed(run, server, str(error))
                    case _:
                        raise

    def _failed(self, run: Run, server: str, reason: str) -> None:
        self._counted(Rewrite.FAILED)
        log.warning(
            "Redis could not rewrite its append-only file", server=server, reason=reason, again_in_s=run.pause_s
        )
        run.is_asked = False
        run.try_at_s = time.monotonic() + run.pause_s
        run.pause_s = min(2 * run.pause_s, PAUSE_MAX_S)

    def _refused(self, run: Run, server: str, reason: str) -> None:
        self._counted(Rewrite.REFUSED)
        run.is_settled = True
        log.error(f"Redis does not let us rewrite its append-only file: {ADVICE}", server=server, reason=reason)

    def _info(self, client: redis.Redis) -> Mapping[str, Any] | None:
        """Returns None where our user lacks the permission."""
        with self._nodes.errors():
            try:
                return cast(Mapping[str, Any], client.info("server", "persistence"))
            except redis.ResponseError as error:
                if refusal_of(error) is not Refusal.NOPERM and "unknown command" not in str(error):
                    raise
                if not self._is_info_denied:
                    self._is_info_denied = True
                    self._refused(Run(), address_of(client), str(error))
                return None

    def _noted(self) -> dict[str, str]:
        with self._nodes.errors():
            found = cast(dict[bytes, bytes], self._nodes.of(REWRITES).hgetall(REWRITES))
        return {server.decode(): run_id.decode() for server, run_id in found.items()}


def _is_whole(info: Mapping[str, Any]) -> bool:
    """Whether no incomplete transaction remains: AOF is off, the server removes it at start, or it was rewritten."""
    valkey = tuple(int(part) for part in re.findall(r"\d+", str(info.get("valkey_version", "")))[:3])
    if not info.get("aof_enabled") or valkey >= SOUND_VALKEY:
        return True
    return bool(info.get("aof_rewrites")) and info.get("aof_last_bgrewrite_status") == "ok"
