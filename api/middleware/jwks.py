"""The keys of an issuer, from JWKS_URL (RFC 7517): read regularly, and when a token names one that is not known."""

import asyncio
import threading
from asyncio import Future, get_running_loop
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import jwt
import structlog
from jwt import PyJWK, PyJWKClient

from api.middleware.tokens import Verifier

# Seconds between two readings: how long a withdrawn key is still accepted.
EVERY_S = 300.0
# Seconds between two readings after one that failed, and between two that tokens with unknown keys cause.
PAUSE_S = 5.0
# Seconds that a step of a reading may take, and a request waits for a reading.
TIMEOUT_S = 3.0

# What tokens may be signed with. Those of another algorithm cannot be for us, so they cause no reading.
_ALGORITHMS = ("RS256", "ES256")

_log = structlog.get_logger("api.jwks")


class KeysUnknown(Exception):
    """A token names a key that is not known, and JWKS_URL could not be read."""


class KeySet:
    """The keys by their `kid`, which a token must name. Without a successful reading the last ones stay valid.

    Raises ValueError for a URL that is not http:// or https://.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"expected https://host/path, found {parts.scheme or 'no scheme'}")
        self._client = PyJWKClient(url, cache_jwk_set=False, timeout=TIMEOUT_S)
        self._verifiers: Mapping[str, Verifier] = {}
        self._reading: Future[None] | None = None
        self._read_at_s = float("-inf")
        self._failed = False
        # Successful ones.
        self.readings = 0

    @property
    def is_known(self) -> bool:
        """Whether the keys have been read at least once."""
        return self.readings > 0

    def named_by(self, token: str) -> Sequence[Verifier]:
        """Returns the key that the token names, if it is known."""
        verifier = self._verifiers.get(_key_id(token) or "")
        return [] if verifier is None else [verifier]

    async def keep(self, on_failure: Callable[[], None]) -> None:
        """Reads the keys again and again, until cancelled. Calls `on_failure` if they could not be read."""
        while True:
            await self._read()
            if self._failed:
                on_failure()
            await asyncio.sleep(PAUSE_S if self._failed else EVERY_S)

    async def learn(self, token: str) -> bool:
        """Returns whether the key that the token names, unknown before, is known after a reading.

        At most one reading within PAUSE_S is caused by tokens; requests meanwhile wait for it. Raises KeysUnknown.
        """
        key_id = _key_id(token)
        if key_id is None or key_id in self._verifiers:
            return False
        if self._reading is not None or get_running_loop().time() - self._read_at_s >= PAUSE_S:
            await self._read()
        if key_id not in self._verifiers and self._failed:
            raise KeysUnknown
        return key_id in self._verifiers

    async def _read(self) -> None:
        """Waits for a reading, at most TIMEOUT_S; joins one in progress."""
        reading = self._reading
        if reading is None:
            loop = get_running_loop()
            reading = self._reading = loop.create_future()
            # A daemon, not of the loop's pool, which would delay the end of the process until a server answers.
            threading.Thread(target=self._fetch, args=(loop, reading), daemon=True).start()
        await asyncio.wait([reading], timeout=TIMEOUT_S)
        if not reading.done():
            self._fail("no answer in time")

    def _fetch(self, loop: asyncio.AbstractEventLoop, reading: "Future[None]") -> None:
        """Runs in a thread."""
        verifiers: dict[str, Verifier] = {}
        problem = "no RSA or P-256 key with a kid"
        try:
            verifiers = _usable(self._client.get_jwk_set().keys)
        except Exception as error:  # noqa: BLE001
            # Broad on purpose: whatever a server publishes, the reading must end, or it is the last one.
            problem = f"{type(error).__name__}: {error}"
        # The loop is closed while the process ends.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._finish, reading, verifiers, problem)

    def _finish(self, reading: "Future[None]", verifiers: dict[str, Verifier], problem: str) -> None:
        self._read_at_s = get_running_loop().time()
        self._reading = None
        if verifiers:
            if self._failed or verifiers.keys() != self._verifiers.keys():
                _log.info("JWKS_URL read", keys=sorted(verifiers))
            self._failed = False
            self._verifiers = verifiers
            self.readings += 1
        else:
            self._fail(problem)
        reading.set_result(None)

    def _fail(self, problem: str) -> None:
        if not self._failed:
            _log.error("JWKS_URL cannot be read: the last keys stay valid", problem=problem)
        self._failed = True


@asynccontextmanager
async def kept(keys: KeySet | None, on_failure: Callable[[], None]) -> AsyncIterator[None]:
    """Keeps the keys up to date during the `with` block. Does nothing without keys."""
    keeping = None if keys is None else asyncio.create_task(keys.keep(on_failure))
    try:
        yield
    finally:
        if keeping is not None:
            keeping.cancel()


def _key_id(token: str) -> str | None:
    """Returns the `kid` of a token; None if it cannot be one that an issuer signed."""
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, UnicodeError, RecursionError):
        return None
    key_id = header.get("kid")
    return key_id if isinstance(key_id, str) and key_id and header.get("alg") in _ALGORITHMS else None


def _usable(keys: Iterable[PyJWK]) -> dict[str, Verifier]:
    found: dict[str, Verifier] = {}
    for key in keys:
        if key.key_id and key.public_key_use in (None, "sig"):
            try:
                verifier = Verifier.of_public_key(key.key)
            except ValueError:
                # A key for something else: of another curve, a secret, one to encrypt with.
                continue
            if verifier.algorithm == key.algorithm_name:
                found[key.key_id] = verifier
    return found
