"""Options that commands share, and the parts that they open from the settings."""

import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import redis
import typer

from api.config import ApiConfig
from api.errors import ConfigError
from api.middleware.access import Access
from api.middleware.accesslog import Form
from events.logs.log import Log, Loss
from events.logs.open import open_parked
from projector.errors import BadSetting, FatalError, StoreUnavailable
from projector.logs import is_console
from projector.readmodel.client.errors import OtherGeneration, ReadModelFault, TooMuch, Unavailable
from projector.readmodel.client.refusals import Refusal, text_of
from projector.settings import Settings
from projector.store.nodes import Nodes, close, connect

if TYPE_CHECKING:
    from projector.readmodel.query.query import Query

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", metavar="DIR", help="Instead of DATA_DIR.", show_default=False)
]
LOSSES = "|".join(Loss)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Interval = Annotated[
    float,
    typer.Option("--interval", metavar="SECONDS", min=0, max=3600, help="Seconds over which the rate is measured."),
]


@contextmanager
def open_nodes(settings: Settings, refused: Callable[[Refusal], None] = lambda refusal: None) -> Iterator[Nodes]:
    """Raises BadSetting for errors that waiting cannot fix: a wrong password, a server that is no Redis."""
    client = connect(settings.store_url)
    try:
        client.ping()
    except (redis.AuthenticationError, redis.InvalidResponse) as error:
        raise BadSetting(f"REDIS_URL: {text_of(error)}") from None
    except redis.RedisError:
        # Redis may become available: callers wait for it, or raise StoreUnavailable.
        pass
    finally:
        close(client)
    nodes = Nodes(settings.store_url, refused)
    try:
        yield nodes
    finally:
        nodes.close()


@contextmanager
def parked_topic(settings: Settings, environment: Mapping[str, str]) -> Iterator[Log | None]:
    """Yields None if PARKED_TOPIC is off or the log has no topics. Raises BadLogUrl."""
    wanted = settings.parked_topic
    topic = None if wanted == "off" else open_parked(settings.log_url, environment, wanted)
    try:
        yield topic
    finally:
        if topic is not None:
            topic.close()


def tune_collector() -> None:
    """Collects new objects often and old ones hardly ever.

    The fold makes no cycles: full collections, over all cached groups, would take an eighth of the time. Rare
    collections of new objects take long while events wait: 100 ms for a hundred thousand objects.
    """
    gc.freeze()
    gc.set_threshold(20_000, 1, 10_000)


@contextmanager
def advise_if_not_running(settings: Settings) -> Iterator[None]:
    """Turns StoreUnavailable into BadSetting with advice if the embedded instance is not running."""
    try:
        yield
    except StoreUnavailable as error:
        if settings.embedded_redis and error.refusal == Refusal.AWAY:
            raise _not_running(settings) from None
        raise


@contextmanager
def errors_of_reading(settings: Settings) -> Iterator[None]:
    """Turns errors of lists into those of commands, with advice if the embedded instance is not running."""
    with advise_if_not_running(settings):
        try:
            yield
        except Unavailable as error:
            raise StoreUnavailable(str(error), error.refusal or Refusal.AWAY) from None
        except (OtherGeneration, TooMuch) as error:
            raise BadSetting(str(error)) from None
        except ReadModelFault as error:
            raise FatalError(f"the read model is inconsistent: {error}. Run projector verify") from None


def refuse_without_redis(settings: Settings) -> None:
    """Raises BadSetting if the embedded Redis was never started: nobody would start it while a service waits."""
    if settings.embedded_redis and not settings.home.redis_socket.exists():
        raise _not_running(settings)


def _not_running(settings: Settings) -> BadSetting:
    if settings.event_log_url:
        return BadSetting(
            f"REDIS_URL: not set, though EVENT_LOG_URL is, and no Redis runs in {settings.data_dir}: "
            "set it, or start one with `projector up`"
        )
    return BadSetting(f"nothing runs in {settings.data_dir}: start it with `projector up`")


@contextmanager
def open_input(file: Path) -> Iterator[BinaryIO]:
    """Opens a file for reading; standard input for `-`. Raises BadSetting."""
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    try:
        opened = file.open("rb")
    except OSError as error:
        raise BadSetting(f"{file}: {error.strerror}") from None
    with opened:
        yield opened


def api_config(settings: Settings) -> ApiConfig:
    """Returns the settings of the API, with the development secret if all is embedded and no credentials are set."""
    secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else None
    if settings.uses_development_secret:
        secret = settings.home.development_secret()
    try:
        return ApiConfig(
            redis_url=settings.store_url,
            host=settings.api_host,
            port=settings.api_port,
            workers=settings.api_workers,
            jwt_secret=secret,
            jwt_public_key=settings.jwt_public_key,
            jwks_url=settings.jwks_url,
            jwt_issuer=settings.jwt_issuer,
            jwt_audience=settings.jwt_audience,
            api_key_hashes=settings.api_key_hash_list,
            operator_key_hashes=settings.operator_key_hash_list,
            operator_actor_ids=settings.operator_actor_id_list,
            cors_origins=settings.api_cors_origins,
            console=settings.console == "on",
            openapi_access=Access(settings.openapi_access),
            metrics_access=Access(settings.metrics_access),
            access_log=_access_log(settings),
            concurrency_max=settings.api_concurrency_max,
            work_max=settings.api_work_max,
            work_per_client_max=settings.api_work_per_client_max,
            subscribers_max=settings.api_subscribers_max,
            connections_per_address_max=settings.api_connections_per_address_max,
            exports_max=settings.api_exports_max,
            request_timeout_ms=settings.api_request_timeout_ms,
            projection_wait_ms=settings.projection_wait_ms,
            ready_lag_max=settings.ready_lag_max,
            ready_end_age_max_s=settings.ready_end_age_max_s,
        )
    except ConfigError as error:
        raise BadSetting(str(error)) from None


def _access_log(settings: Settings) -> Form:
    if settings.access_log == "off":
        return "off"
    return "console" if is_console(settings.log_format) else "json"


def parsed_list(query: str) -> "Query":
    """Returns the list of a query string. Raises BadSetting."""
    # Imported here, so that other commands start without the read engine.
    from api.params.query import InvalidRequest, parse_list

    try:
        return parse_list(query.removeprefix("?"))
    except InvalidRequest as error:
        raise BadSetting(f"{query}: {error}") from None
