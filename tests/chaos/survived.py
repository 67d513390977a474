"""Reports the faults that a run survived, after its test has checked that nothing was lost or doubled."""

import json
import os
from pathlib import Path


def survived(fault: str, times: int, records: int) -> None:
    """Writes a line for `bench.chaos` to $CHAOS_SURVIVED, if set. `records`: of the log, all accounted for."""
    if to := os.environ.get("CHAOS_SURVIVED"):
        with Path(to).open("a") as lines:
            lines.write(json.dumps({"name": fault, "times": times, "records": records}) + "\n")
