"""All settings, read from the environment. docs/settings.md lists them in one table."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from events.logs.open import sqlite_url
from projector.errors import BadSetting
from projector.health.pulse import HELD_BACK_MAX_S
from projector.home import Home
from projector.parked.cap import PARKED_BYTES_MAX, PARKED_MAX
from projector.readmodel.client.sentinels import check as check_redis_url

# The API has the same defaults, with their reasons, in api/config.py and api/http/limits.py. A test compares them.
API_CONCURRENCY_MAX = 200
API_CONNECTIONS_PER_ADDRESS_MAX = 0
API_EXPORTS_MAX = 4
API_REQUEST_TIMEOUT_MS = 5000
API_SUBSCRIBERS_MAX = 2000
API_WORK_MAX = 64
API_WORK_PER_CLIENT_MAX = 16
API_WORKERS = 1
API_WORKERS_MAX = 64
PROJECTION_WAIT_MS = 2000
READY_END_AGE_MAX_S = 0
READY_LAG_MAX = 10_000
# More than any generation needs; each shard is a set of keys.
SHARDS_MAX = 1024
# Addresses to listen on that stand for all of a machine, and where that is reached from itself.
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Settings(BaseModel):
    """Field names are the names of the environment variables, in lower case."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    event_log_url: str | None = None
    redis_url: str | None = None
    shards: int = Field(default=1, ge=1, le=SHARDS_MAX)
    data_dir: Path = Path(".projector")

    jwt_secret: SecretStr | None = None
    jwt_public_key: str | None = None
    jwks_url: str | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    api_key_hashes: str | None = None
    operator_key_hashes: str = ""
    operator_actor_ids: str = ""

    # Of commands that are clients of the API.
    api_url: str | None = None
    api_token: SecretStr | None = None

    api_host: str = "127.0.0.1"
    api_port: int = Field(default=9000, ge=1, le=65535)
    api_cors_origins: str = ""
    api_workers: int = Field(default=API_WORKERS, ge=1, le=API_WORKERS_MAX)
    projector_host: str = "127.0.0.1"
    projector_port: int | None = Field(default=None, ge=1, le=65535)

    source_url: SecretStr | None = None
    source_mapping: str = "mercur2"
    source_port: int | None = Field(default=None, ge=1, le=65535)

    openapi_access: Literal["credentials", "open", "off"] = "credentials"

    metrics_access: Literal["credentials", "open", "off"] = "credentials"
    console: Literal["on", "off"] = "on"
    api_concurrency_max: int = Field(default=API_CONCURRENCY_MAX, ge=1, le=10_000)
    api_connections_per_address_max: int = Field(default=API_CONNECTIONS_PER_ADDRESS_MAX, ge=0)
    api_exports_max: int = Field(default=API_EXPORTS_MAX, ge=0, le=1000)
    api_work_max: int = Field(default=API_WORK_MAX, ge=1, le=10_000)
    api_work_per_client_max: int = Field(default=API_WORK_PER_CLIENT_MAX, ge=1, le=10_000)
    api_subscribers_max: int = Field(default=API_SUBSCRIBERS_MAX, ge=0, le=100_000)
    api_request_timeout_ms: int = Field(default=API_REQUEST_TIMEOUT_MS, ge=1000, le=120_000)

    personal_data: Literal["on", "off"] = "on"

    parked_max: int = Field(default=PARKED_MAX, ge=1)
    # No less than one event needs.
    parked_bytes_max: int = Field(default=PARKED_BYTES_MAX, ge=2 * 1024 * 1024)
    parked_topic: str | None = None

    projection_wait_ms: int = Field(default=PROJECTION_WAIT_MS, ge=0, le=60_000)
    ready_lag_max: int = Field(default=READY_LAG_MAX, ge=0)
    ready_held_back_max_s: int = Field(default=HELD_BACK_MAX_S, ge=0)
    ready_end_age_max_s: int = Field(default=READY_END_AGE_MAX_S, ge=0)

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = "auto"
    access_log: Literal["on", "off"] = "on"

    @property
    def home(self) -> Home:
        return Home(self.data_dir)

    @property
    def log_url(self) -> str:
        return self.event_log_url or sqlite_url(self.home.log)

    @property
    def store_url(self) -> str:
        return self.redis_url or self.home.redis_url

    @property
    def embedded_redis(self) -> bool:
        return self.redis_url is None

    @property
    def api_here(self) -> str:
        """The URL of the API that these settings start, as reached from here, without a slash at the end."""
        host = _ANY_ADDRESS.get(self.api_host, self.api_host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.api_port}"

    @property
    def api_key_hash_list(self) -> tuple[str, ...]:
        return _listed(self.api_key_hashes or "")

    @property
    def operator_key_hash_list(self) -> tuple[str, ...]:
        return _listed(self.operator_key_hashes)

    @property
    def operator_actor_id_list(self) -> tuple[str, ...]:
        return _listed(self.operator_actor_ids)

    @property
    def keeps_personal_data(self) -> bool:
        return self.personal_data == "on"

    @property
    def has_credentials(self) -> bool:
        return bool(self.jwt_secret or self.jwt_public_key or self.jwks_url or self.api_key_hashes)

    @property
    def uses_development_secret(self) -> bool:
        return self.embedded_redis and not self.has_credentials


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def load_settings(environment: Mapping[str, str], **overrides: object) -> Settings:
    """Reads the settings. An empty variable counts as unset. Raises BadSetting, which names the variable."""
    values: dict[str, object] = {
        name: environment[name.upper()] for name in Settings.model_fields if environment.get(name.upper())
    }
    values.update((name, value) for name, value in overrides.items() if value is not None)
    try:
        settings = Settings.model_validate(values)
        check_redis_url(settings.store_url)
        return settings
    except ValidationError as error:
        problems = []
        for problem in error.errors():
            name = str(problem["loc"][0]).upper()
            expected = problem["msg"].removeprefix("Input should be ")
            problems.append(f"{name}: expected {expected}, got {str(problem['input'])[:60]!r}")
        raise BadSetting("; ".join(problems)) from None
    except ValueError:
        raise BadSetting(
            "REDIS_URL: expected redis://host:6379/0, rediss://host, unix:///path, or "
            f"redis+sentinel://host:26379,host2:26379/service, got {_without_secret(str(values['redis_url']))!r}"
        ) from None


def _without_secret(url: str) -> str:
    secret, at, location = url.rpartition("@")
    scheme, slashes, _ = secret.partition("//")
    shown = f"{scheme if slashes else ''}{slashes}***@{location}" if at else url
    return re.sub("password=[^&]*", "password=***", shown)
