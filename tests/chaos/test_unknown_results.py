"""Connections that are cut, and answers that do not come, once a commit has been sent: it is sent again, and nothing is
applied twice.
"""

import os
from pathlib import Path

import pytest

from tests.chaos.proxy import KINDS, SILENT, Proxy
from tests.chaos.stage import Stage
from tests.chaos.survived import survived

# `make chaos` has 1 000.
UNKNOWN = int(os.environ.get("CHAOS_UNKNOWN", 50))
# Few enough that most commits come through at the second or third try.
SHARE = 0.4
BATCH_RECORDS = 20


@pytest.mark.timeout(120 + UNKNOWN)
def test_a_result_that_is_unknown_is_asked_for_again(tmp_path: Path, one_redis_url: str) -> None:
    with Proxy(one_redis_url, SHARE, seed=1) as proxy, Stage(tmp_path, one_redis_url) as stage:
        stage.settings["REDIS_URL"] = proxy.url
        with stage.start("run", batch_records=BATCH_RECORDS) as run:
            while sum(proxy.happened.values()) < UNKNOWN:
                stage.publish(500)
                stage.wait()
                stage.check_now()
            assert run.stop() == 0
            # Redis had nothing to complain of.
            assert "lost writes" not in run.text()
            assert "another process" not in run.text()
        stage.settings["REDIS_URL"] = one_redis_url
        stage.check()
    assert min(proxy.happened[kind] for kind in KINDS) >= UNKNOWN / 20
    assert proxy.happened["silence"] >= UNKNOWN // SILENT
    assert proxy.unheard["STORED"] >= UNKNOWN / 4
    assert proxy.heard["ALREADY"] >= UNKNOWN / 4, "sent again, and refused as what it was"
    assert proxy.happened.total() >= UNKNOWN
    survived("a commit whose result is unknown", proxy.happened.total(), stage.ledger.records)
