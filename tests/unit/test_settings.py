import os
import stat
from datetime import timedelta
from pathlib import Path

import jwt
import pytest

from api.config import WORKERS_MAX, ApiConfig
from projector.cli.wiring import api_config
from projector.errors import BadSetting
from projector.settings import API_WORKERS_MAX, load_settings
from projector.token import make_token


def test_defaults_are_embedded(tmp_path: Path) -> None:
    settings = load_settings({}, data_dir=tmp_path)
    assert settings.log_url == f"sqlite://{tmp_path}/orders.db"
    assert settings.store_url == f"unix://{tmp_path}/redis/redis.sock"
    assert settings.api_port == 9000
    assert settings.embedded_redis


def test_empty_variables_count_as_unset() -> None:
    settings = load_settings({"REDIS_URL": "redis://r/1", "EVENT_LOG_URL": "", "API_PORT": "9100", "HOME": "/root"})
    assert (settings.store_url, settings.api_port, settings.embedded_redis) == ("redis://r/1", 9100, False)
    assert settings.log_url.startswith("sqlite:///")


def test_only_the_given_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_WORKERS", "")
    assert load_settings(os.environ).api_workers == 1
    monkeypatch.setenv("API_WORKERS", "2")
    assert load_settings({}).api_workers == 1


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"API_PORT": "abc"}, "API_PORT: expected a valid integer, unable to parse string as an integer, got 'abc'"),
        ({"PROJECTOR_PORT": "0"}, "PROJECTOR_PORT: expected greater than or equal to 1, got '0'"),
        ({"API_PORT": "70000"}, "API_PORT: expected less than or equal to 65535, got '70000'"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL: expected 'debug', 'info', 'warning' or 'error', got 'loud'"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT: expected 'auto', 'console' or 'json', got 'xml'"),
    ],
)
def test_a_wrong_setting_is_reported_in_one_line(environment: dict[str, str], line: str) -> None:
    with pytest.raises(BadSetting) as found:
        load_settings(environment)
    assert str(found.value) == line


def test_a_long_data_dir_moves_only_the_socket(tmp_path: Path) -> None:
    home = load_settings({}, data_dir=tmp_path / ("d" * 120)).home
    other = load_settings({}, data_dir=tmp_path / ("e" * 120)).home
    assert len(str(home.redis_socket)) <= 103
    assert home.redis_socket != other.redis_socket
    assert home.log.parent == home.path


def test_the_development_secret_is_created_once_and_private(tmp_path: Path) -> None:
    home = load_settings({}, data_dir=tmp_path / "new").home
    secret = home.development_secret()
    assert home.development_secret() == secret
    assert len(secret) >= 32
    mode = (home.path / "jwt_secret").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_tokens_are_signed_with_the_secret_that_the_api_uses(tmp_path: Path) -> None:
    settings = load_settings({}, data_dir=tmp_path)
    claims = jwt.decode(make_token(settings, timedelta(hours=1)), settings.home.development_secret(), ["HS256"])
    assert claims["actor_type"] == "user"
    assert claims["exp"] - claims["iat"] == 3600
    own = "s" * 32
    token = make_token(load_settings({"JWT_SECRET": own}, data_dir=tmp_path), timedelta(hours=1))
    assert jwt.decode(token, own, ["HS256"])["actor_id"]


def test_a_short_secret_gives_a_token_without_a_warning(tmp_path: Path) -> None:
    assert make_token(load_settings({"JWT_SECRET": "short"}, data_dir=tmp_path), timedelta(hours=1)).count(".") == 2


@pytest.mark.parametrize("environment", [{"JWT_PUBLIC_KEY": "k"}, {"REDIS_URL": "redis://r"}, {"API_KEY_HASHES": "a"}])
def test_without_a_secret_there_is_no_token(environment: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="JWT_SECRET: not set"):
        make_token(load_settings(environment, data_dir=tmp_path), timedelta(hours=1))


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"API_WORKERS": "65"}, "API_WORKERS: expected less than or equal to 64, got '65'"),
        ({"API_CONCURRENCY_MAX": "0"}, "API_CONCURRENCY_MAX: expected greater than or equal to 1, got '0'"),
        ({"API_REQUEST_TIMEOUT_MS": "1"}, "API_REQUEST_TIMEOUT_MS: expected greater than or equal to 1000, got '1'"),
        ({"ACCESS_LOG": "yes"}, "ACCESS_LOG: expected 'on' or 'off', got 'yes'"),
        ({"METRICS_ACCESS": "all"}, "METRICS_ACCESS: expected 'credentials', 'open' or 'off', got 'all'"),
    ],
)
def test_limits_have_ranges(environment: dict[str, str], line: str) -> None:
    with pytest.raises(BadSetting) as found:
        load_settings(environment)
    assert str(found.value) == line


def test_a_request_has_time_to_wait_for_its_position(tmp_path: Path) -> None:
    short = {"API_REQUEST_TIMEOUT_MS": "2000", "PROJECTION_WAIT_MS": "1500"}
    with pytest.raises(BadSetting, match="API_REQUEST_TIMEOUT_MS: expected at least PROJECTION_WAIT_MS"):
        api_config(load_settings(short, data_dir=tmp_path))
    assert api_config(load_settings({**short, "PROJECTION_WAIT_MS": "1100"}, data_dir=tmp_path))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://me:s3cret@host:99999/0", "redis://***@host:99999/0"),
        ("redis//:s3c@ret@host", "redis//***@host"),
        ("s3cret@host", "***@host"),
        ("redis+sentinel://one/?sentinel_password=s3cret&x=1", "redis+sentinel://one/?sentinel_password=***&x=1"),
        ("redis:/host", "redis:/host"),
        ("rediss://host/0?ssl_ca_cert=x", "rediss://host/0?ssl_ca_cert=x"),
    ],
)
def test_a_password_is_not_shown(url: str, shown: str) -> None:
    with pytest.raises(BadSetting) as refused:
        load_settings({"REDIS_URL": url})
    assert str(refused.value).endswith(f", got {shown!r}")


def test_defaults_equal_those_of_the_api() -> None:
    """The packages do not import each other, so both define the defaults."""
    settings = load_settings({"REDIS_URL": "redis://r/1", "JWT_SECRET": "s" * 40, "ACCESS_LOG": "off"})
    assert api_config(settings) == ApiConfig("redis://r/1", jwt_secret="s" * 40)
    assert API_WORKERS_MAX == WORKERS_MAX
