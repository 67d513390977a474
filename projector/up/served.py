"""Whether the API that `projector up` has started answers, and serves the list."""

import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from projector.errors import BadSetting
from projector.settings import Settings
from projector.token import make_token

# Seconds after which `up` says that the list is not served yet.
SLOW_AFTER_S = 3.0
# How long the token of our own requests is valid: no rebuild takes longer.
TOKEN = timedelta(days=7)


class Announcement:
    """Made once the list is served: before that, a replay may rebuild the read model for a new version."""

    def __init__(self, settings: Settings, announce: Callable[[], None]) -> None:
        self._announce = announce
        self._request = urllib.request.Request(f"{settings.api_here}/admin/order-groups?limit=0")
        # Without a secret to sign one, the answer is 401, and the announcement is made when the API answers.
        with suppress(BadSetting):
            self._request.add_header("Authorization", f"Bearer {make_token(settings, TOKEN)}")
        self._log = settings.home.output / "projector.log"
        self._patient_until_s = time.monotonic() + SLOW_AFTER_S
        self._is_made = self._has_explained = False

    def make_once_served(self) -> None:
        if self._is_made:
            return
        if _status(self._request) not in (None, 503):
            self._is_made = True
            self._announce()
        elif not self._has_explained and time.monotonic() > self._patient_until_s:
            self._has_explained = True
            print(f"projector: the list is not served yet. {self._log} says why", file=sys.stderr)


def answers(settings: Settings) -> bool:
    return _status(f"{settings.api_here}/health/live") == 200


def _status(url: str | urllib.request.Request) -> int | None:
    """Returns the status of an answer; None without one."""
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return None
