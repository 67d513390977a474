"""Steady load for a long time: memory stays flat, nothing lags, nothing is lost."""

import os
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from projector.cache import GROUPS_MAX
from tests import readmodel
from tests.chaos.stage import Stage
from tests.chaos.survived import survived
from tests.integration.watched import Projector
from tests.processes import Api
from tests.servers.redis import RedisHome, RedisServer

# `make chaos` runs 25.
MINUTES = float(os.environ.get("CHAOS_STEADY_MINUTES", 0.5))
EVENTS_PER_S = 400
BURST_S = 0.25
# Published before the steady load until the projector's cache is full, and so many groups more.
BACKLOG, MORE_GROUPS = 10_000, 2_000
FILL_S = 120.0
# The share of the run until pools, and what a first request allocates, are full as well.
WARM = 0.4
# The allowed growth of projector and API after that, and of the API for each new group: its line, which `q` searches.
GROWTH_MAX = 0.05
LINE_BYTES_MAX = 150
# The allowed growth of Redis per event, in bytes.
EVENT_BYTES_MAX = 4_000
# One event in fifty is parked: 25 minutes have more than the default limit, at which the projector would pause.
PARKED_MAX = "1000000"


class Seen(NamedTuple):
    """At one time: records of the log, bytes of memory of three processes, groups."""

    records: int
    projector: int
    api: int
    redis: int
    groups: int


@pytest.mark.chaos
@pytest.mark.timeout(120 + 90 * MINUTES)
def test_memory_stays_flat(cluster_server_home: RedisHome, tmp_path: Path) -> None:
    with (
        RedisServer(cluster_server_home) as server,
        Stage(tmp_path, server.url) as stage,
        Projector(tmp_path, PARKED_MAX=PARKED_MAX, **stage.settings) as run,
        Api(tmp_path, server.url) as api,
    ):
        while groups(stage) < GROUPS_MAX + MORE_GROUPS:
            stage.publish(BACKLOG)
            stage.wait(FILL_S)
        stop = threading.Event()
        reader = threading.Thread(target=read, args=(api, stop))
        reader.start()
        try:
            before = stage.ledger.records
            seen: list[Seen] = []
            start_s = time.monotonic()
            while (passed_s := time.monotonic() - start_s) < MINUTES * 60:
                stage.publish(max(before + int(passed_s * EVENTS_PER_S) - stage.ledger.records, 1))
                stop.wait(BURST_S)
                used: int = stage.client.info("memory")["used_memory"]
                seen.append(Seen(stage.ledger.records, rss(run), rss(api), used, groups(stage)))
            stage.wait()
        finally:
            stop.set()
            reader.join()
        assert run.metric("waiting_seconds", on="redis") == 0
        warm = [one for one in seen if one.records >= before + (stage.ledger.records - before) * WARM]
        first, last = mean(warm[: len(warm) // 5]), mean(warm[-(len(warm) // 5) :])
        print(f"from {first} to {last}")
        assert last.projector <= first.projector * (1 + GROWTH_MAX)
        assert last.api <= first.api * (1 + GROWTH_MAX) + LINE_BYTES_MAX * (last.groups - first.groups)
        grown = (warm[-1].redis - warm[0].redis) / (warm[-1].records - warm[0].records)
        print(f"Redis: {grown:.0f} bytes an event")
        assert grown < EVENT_BYTES_MAX
        stage.check()
        assert (run.stop(), api.stop()) == (0, 0)
    survived("minutes of steady load", int(MINUTES), stage.ledger.records)


def groups(stage: Stage) -> int:
    found: int = stage.client.zcard(readmodel.PREFIX + "by:created_at")
    return found


def read(api: Api, stop: threading.Event) -> None:
    """Requests lists. On a busy machine some may time out."""
    while not stop.wait(0.02):
        for parameters in ({"limit": "50", "order": "-total"}, {"limit": "20", "q": "cus_0001", "offset": "10"}):
            assert api.client.get("/admin/order-groups", params=parameters).status_code in (200, 503)


def rss(process: Projector | Api) -> int:
    """Returns the resident memory in bytes."""
    pages = int(Path(f"/proc/{process.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def mean(seen: list[Seen]) -> Seen:
    return Seen(*(sum(column) // len(seen) for column in zip(*seen, strict=True)))
