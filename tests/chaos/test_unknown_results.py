"""Connections break, and answers are lost, after a commit was sent: it is sent again, and nothing is applied twice."""

import os
from pathlib import Path

import pytest

from tests.chaos.proxy import KINDS, SILENT, Proxy
from tests.chaos.stage import Stage
from tests.chaos.survived import survived

# `make chaos` runs 1 000.
UNKNOWN = int(os.environ.get("CHAOS_UNKNOWN", 50))
# Low enough that most commits succeed at the second or third attempt.
SHARE = 0.4
BATCH_RECORDS = 20


@pytest.mark.timeout(120 + UNKNOWN)
def test_a_commit_with_unknown_result_is_sent_again(tmp_path: Path, one_redis_url: str) -> None:
    with Proxy(one_redis_url, SHARE, seed=1) as proxy, Stage(tmp_path, one_redis_url) as stage:
        stage.settings["REDIS_URL"] = proxy.url
        with stage.start("run", batch_records=BATCH_RECORDS) as run:
            while sum(proxy.happened.values()) < UNKNOWN:
                stage.publish(500)
                stage.wait()
                stage.check_now()
            assert run.stop() == 0
            # Lost answers are neither lost writes nor another writer.
            assert "lost writes" not in run.text()
            assert "another process" not in run.text()
        stage.settings["REDIS_URL"] = one_redis_url
        stage.check()
    assert min(proxy.happened[kind] for kind in KINDS) >= UNKNOWN / 20
    assert proxy.happened["silence"] >= UNKNOWN // SILENT
    assert proxy.unread["STORED"] >= UNKNOWN / 4
    assert proxy.read["ALREADY"] >= UNKNOWN / 4, "too few were sent again"
    assert proxy.happened.total() >= UNKNOWN
    survived("a commit whose result is unknown", proxy.happened.total(), stage.ledger.records)
