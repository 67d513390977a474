"""The API over HTTP, for commands that show what a client would see."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import timedelta

from msgspec import Struct

from projector.errors import BadSetting, ProjectorError
from projector.settings import Settings
from projector.token import make_token

# How long a token of ours is valid: longer than any command but `tail`, which makes another one when it reconnects.
TOKEN_VALID = timedelta(hours=1)


class Remote(Struct, frozen=True):
    """`url`: of the API, without a slash at the end."""

    url: str
    token: str


class ApiUnavailable(ProjectorError):
    """Nothing answers, or the API refuses for now. `retry_after_s`: seconds to wait before the next attempt."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def remote(settings: Settings) -> Remote:
    """Returns the API of API_URL, or that which runs here. Raises BadSetting without credentials."""
    token = settings.api_token.get_secret_value() if settings.api_token else make_token(settings, TOKEN_VALID)
    return Remote((settings.api_url or settings.api_here).rstrip("/"), token)


def get(api: Remote, target: str, headers: Mapping[str, str], timeout_s: float) -> http.client.HTTPResponse:
    """Returns a 200, whose body the caller reads and closes. `target`: path and query, percent-encoded.

    `timeout_s`: of connecting, and of each read. Raises ApiUnavailable; BadSetting for what waiting cannot fix.
    """
    sent = {"Authorization": f"Bearer {api.token}", **headers}
    try:
        request = urllib.request.Request(api.url + target, headers=sent)
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=timeout_s)
        return response
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(api, error, _message(error)) from None
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise ApiUnavailable(f"{api.url}: {getattr(error, 'reason', error)}") from None
    except ValueError:
        raise BadSetting(f"API_URL: expected http://host:9000 or https://host, got {api.url!r}") from None


def _refused(api: Remote, error: urllib.error.HTTPError, message: str) -> ProjectorError:
    if error.code in (429, 503):
        after = error.headers.get("Retry-After", "")
        return ApiUnavailable(f"{api.url}: {error.code} {message}", float(after) if after.isdecimal() else 1.0)
    if error.code == 401:
        return BadSetting(f"API_TOKEN, JWT_SECRET: {api.url} accepts neither: 401 {message}")
    return BadSetting(f"{api.url}: {error.code} {message}")


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["message"])
    except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException):
        # Of a proxy, or of a server that is none of ours.
        return str(error.reason)
