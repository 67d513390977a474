"""`projector run` with its health port."""

import json
import re
from pathlib import Path
from typing import Any

import httpx

from events.logs.log import Entry
from events.logs.open import open_log
from tests.processes import Process
from tests.servers.process import free_port, wait_until

START_S = 20.0


def samples(text: str, name: str) -> list[tuple[dict[str, str], float]]:
    found = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE)
    return [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)) for labels, value in found]


def append(url: str, *values: dict[str, Any] | bytes) -> dict[str, int]:
    """Creates the log if there is none, and appends. Returns its ends."""
    sent = [value if isinstance(value, bytes) else json.dumps(value).encode() for value in values]
    with open_log(url, {}) as log:
        log.create()
        log.append([Entry(None, value, (("content-type", b"application/cloudevents+json"),)) for value in sent])
        return {str(partition): end for partition, end in log.end().items()}


class Projector(Process):
    def __init__(self, cwd: Path, *options: str, **settings: str) -> None:
        self.port = free_port()
        ours = {"PROJECTOR_PORT": str(self.port), "LOG_FORMAT": "json"}
        super().__init__("run", *options, cwd=cwd, **{**ours, **settings})
        wait_until(self._answers, START_S, "the health port")

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=10)

    def is_ready(self) -> bool:
        return self.get("/health/ready").status_code == 200

    def why_not_ready(self) -> list[str]:
        body = self.get("/health/ready").json()
        reasons: list[str] = body.get("reasons", [])
        return reasons

    def metric(self, name: str, **labels: str) -> float:
        """Returns a metric, by default of the projector. NaN if it does not exist yet."""
        whole = name if name.startswith("order_groups_") else f"order_groups_projector_{name}"
        found = [value for have, value in samples(self.get("/metrics").text, whole) if have == labels]
        return found[0] if found else float("nan")

    def incidents(self, event: str) -> list[dict[str, Any]]:
        """Returns the lines of the log with that event."""
        whole = self.text().rpartition("\n")[0]
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.text()
        try:
            return self.get("/health/live").status_code > 0
        except httpx.TransportError:
            return False
