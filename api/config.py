"""The settings of the API as one value. The command line reads them from the environment."""

from dataclasses import dataclass

from api.admin.operators import Operators
from api.errors import ConfigError
from api.http import limits
from api.middleware.access import Access
from api.middleware.accesslog import Form
from api.middleware.auth import Credentials, key_hash
from api.middleware.cors import Origins
from api.middleware.tokens import Demands
from api.middleware.work import WORK_MAX, WORK_PER_CLIENT_MAX

# Milliseconds that one request may wait for Redis, all attempts together: a client gets its 503 within a second.
REDIS_WAIT_MS = 900
# Connections to Redis of one API process. Redis runs one command at a time; with more connections commands only wait.
REDIS_CONNECTIONS_MAX = 4
# Milliseconds that a request with X-Min-Position waits at most.
PROJECTION_WAIT_MS = 2000
# Events that the read model may lag behind the log for this process to be ready: a few seconds of a busy marketplace,
# and far less than a rebuild lags.
READY_LAG_MAX = 10_000
# Worker processes, and their maximum.
WORKERS = 1
WORKERS_MAX = 64
# Seconds since the projector last stored the end of the log, at most, for this process to be ready; 0: no limit.
# All processes read the same value: with a limit, a stopped projector makes all of them unready at once.
READY_END_AGE_MAX_S = 0
# Seconds that running requests get to finish after SIGTERM.
SHUTDOWN_S = 5


@dataclass(frozen=True, slots=True)
class ApiConfig:
    """`jwt_public_key` is PEM; `api_key_hashes` are SHA-256 in hex.

    Raises ConfigError; its text begins with the name of the setting.
    """

    redis_url: str
    host: str = "127.0.0.1"
    port: int = 9000
    workers: int = WORKERS
    jwt_secret: str | None = None
    jwt_public_key: str | None = None
    jwks_url: str | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    api_key_hashes: tuple[str, ...] = ()
    operator_key_hashes: tuple[str, ...] = ()
    operator_actor_ids: tuple[str, ...] = ()
    cors_origins: str = ""
    console: bool = True
    openapi_access: Access = Access.CREDENTIALS
    metrics_access: Access = Access.CREDENTIALS
    access_log: Form = "off"
    concurrency_max: int = limits.CONCURRENCY_MAX
    work_max: int = WORK_MAX
    work_per_client_max: int = WORK_PER_CLIENT_MAX
    request_timeout_ms: int = limits.REQUEST_TIMEOUT_MS
    connections_max: int = limits.CONNECTIONS_MAX
    subscribers_max: int = limits.SUBSCRIBERS_MAX
    connections_per_address_max: int = limits.CONNECTIONS_PER_ADDRESS_MAX
    url_bytes_max: int = limits.URL_BYTES_MAX
    exports_max: int = limits.EXPORTS_MAX
    redis_wait_ms: int = REDIS_WAIT_MS
    redis_connections_max: int = REDIS_CONNECTIONS_MAX
    projection_wait_ms: int = PROJECTION_WAIT_MS
    ready_lag_max: int = READY_LAG_MAX
    ready_end_age_max_s: int = READY_END_AGE_MAX_S
    shutdown_s: int = SHUTDOWN_S

    def __post_init__(self) -> None:
        # Built here only because they raise for bad settings.
        self.operators(self.credentials())
        self.origins()
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"API_PORT: expected 0 to 65535, found {self.port}")
        if not 1 <= self.workers <= WORKERS_MAX:
            raise ConfigError(f"API_WORKERS: expected 1 to {WORKERS_MAX}, found {self.workers}")
        if self.request_timeout_ms < self.projection_wait_ms + self.redis_wait_ms:
            raise ConfigError(
                f"API_REQUEST_TIMEOUT_MS: expected at least PROJECTION_WAIT_MS + {self.redis_wait_ms}, "
                f"found {self.request_timeout_ms}"
            )

    def credentials(self) -> Credentials:
        """Keys of operators are valid everywhere."""
        for text in self.operator_key_hashes:
            # Else a wrong one would be reported as one of API_KEY_HASHES.
            key_hash("OPERATOR_KEY_HASHES", text)
        hashes = *self.api_key_hashes, *self.operator_key_hashes
        demands = Demands(self.jwt_issuer, self.jwt_audience)
        return Credentials.of(self.jwt_secret, self.jwt_public_key, hashes, demands, self.jwks_url)

    def operators(self, credentials: Credentials) -> Operators:
        hashes = [key_hash("OPERATOR_KEY_HASHES", text) for text in self.operator_key_hashes]
        return Operators(hashes, self.operator_actor_ids, credentials)

    def origins(self) -> Origins:
        return Origins.of(self.cors_origins)
