"""What a run with faults came through, written down once its test knows that nothing was lost, doubled or silent."""

import json
import os
from pathlib import Path


def survived(fault: str, times: int, records: int) -> None:
    """A line for `bench.chaos`, where `make chaos` asks for it. `records`: of the log, that were accounted for."""
    if to := os.environ.get("CHAOS_SURVIVED"):
        with Path(to).open("a") as lines:
            lines.write(json.dumps({"name": fault, "times": times, "records": records}) + "\n")
