"""The health check of the image: exits with 0 if the projector or the API of this container is alive, else with 1."""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping

TIMEOUT_S = 2.0


def is_alive(environment: Mapping[str, str]) -> bool:
    """Asks the ports that `projector run` and `projector serve` open; a container runs one of them."""
    ports = (environment.get("PROJECTOR_PORT"), environment.get("API_PORT") or "9000")
    return any(_answers(port) for port in ports if port)


def _answers(port: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=TIMEOUT_S):
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


if __name__ == "__main__":
    sys.exit(not is_alive(os.environ))
