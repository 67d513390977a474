"""EVENT_LOG_URL to a log."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from events.errors import BadLogUrl
from events.log import Log
from events.sqlite_log import SqliteLog

_EXPECTED = "expected kafka://host:9092,host2:9092/topic or sqlite:///absolute/path/orders.db"


def open_log(url: str, environment: Mapping[str, str]) -> Log:
    """Opens nothing yet: the first use connects. `environment` may hold Kafka's credentials (KAFKA_...).

    Raises BadLogUrl.
    """
    scheme = url.partition(":")[0].lower()
    if scheme == "kafka":
        # Imported here: kafka-python is large, and the embedded default does without it.
        from events.kafka_log import KafkaLog
        from events.kafka_url import kafka_settings

        return KafkaLog(kafka_settings(url, environment))
    if scheme == "sqlite":
        return SqliteLog(_sqlite_path(url))
    raise BadLogUrl(f"EVENT_LOG_URL: {_EXPECTED}, got the scheme {scheme!r}")


def sqlite_url(path: Path) -> str:
    return f"sqlite://{path.absolute()}"


def _sqlite_path(url: str) -> Path:
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    if parts.netloc or parts.query or not path.name:
        raise BadLogUrl(f"EVENT_LOG_URL: {_EXPECTED} (three slashes, no options), got {url!r}")
    return path
