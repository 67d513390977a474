"""Steady load for a long time: memory stays flat, nothing lags, nothing is lost."""

import os
import threading
import time
from pathlib import Path

import pytest

from tests.chaos.stage import Stage
from tests.chaos.survived import survived
from tests.integration.watched import Projector
from tests.processes import Api
from tests.servers.redis import RedisHome, RedisServer

# `make chaos` runs 25.
MINUTES = float(os.environ.get("CHAOS_STEADY_MINUTES", 0.5))
EVENTS_PER_S = 400
BURST_S = 0.25
# The share of the run until caches and pools are full.
WARM = 0.4
# The allowed growth of projector and API after that.
GROWTH_MAX = 0.05
# The allowed growth of Redis per event, in bytes.
EVENT_BYTES_MAX = 4_000
# One event in fifty is parked: 25 minutes have more than the default limit, at which the projector would pause.
PARKED_MAX = "1000000"


@pytest.mark.chaos
@pytest.mark.timeout(120 + 90 * MINUTES)
def test_memory_stays_flat(cluster_server_home: RedisHome, tmp_path: Path) -> None:
    with (
        RedisServer(cluster_server_home) as server,
        Stage(tmp_path, server.url) as stage,
        Projector(tmp_path, PARKED_MAX=PARKED_MAX, **stage.settings) as run,
        Api(tmp_path, server.url) as api,
    ):
        stop = threading.Event()
        reader = threading.Thread(target=read, args=(api, stop))
        reader.start()
        try:
            seen = [(0, rss(run), rss(api), 0)]
            start_s = time.monotonic()
            while (passed_s := time.monotonic() - start_s) < MINUTES * 60:
                stage.publish(max(int(passed_s * EVENTS_PER_S) - stage.ledger.records, 1))
                stop.wait(BURST_S)
                used: int = stage.client.info("memory")["used_memory"]
                seen.append((stage.ledger.records, rss(run), rss(api), used))
            stage.wait()
        finally:
            stop.set()
            reader.join()
        assert run.metric("waiting_seconds", on="redis") == 0
        warm = [one for one in seen if one[0] >= stage.ledger.records * WARM]
        for what, column in (("the projector", 1), ("the API", 2)):
            first, last = mean(warm[: len(warm) // 5], column), mean(warm[-(len(warm) // 5) :], column)
            print(f"{what}: {first / 1e6:.1f} MB, then {last / 1e6:.1f} MB")
            assert last <= first * (1 + GROWTH_MAX), what
        grown = (warm[-1][3] - warm[0][3]) / (warm[-1][0] - warm[0][0])
        print(f"Redis: {grown:.0f} bytes an event")
        assert grown < EVENT_BYTES_MAX
        stage.check()
        assert (run.stop(), api.stop()) == (0, 0)
    survived("minutes of steady load", int(MINUTES), stage.ledger.records)


def read(api: Api, stop: threading.Event) -> None:
    """Requests lists. On a busy machine some may time out."""
    while not stop.wait(0.02):
        for parameters in ({"limit": "50", "order": "-total"}, {"limit": "20", "q": "cus_0001", "offset": "10"}):
            assert api.client.get("/admin/order-groups", params=parameters).status_code in (200, 503)


def rss(process: Projector | Api) -> int:
    """Returns the resident memory in bytes."""
    pages = int(Path(f"/proc/{process.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def mean(seen: list[tuple[int, int, int, int]], column: int) -> float:
    return sum(one[column] for one in seen) / len(seen)
