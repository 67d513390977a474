"""Opens the log of EVENT_LOG_URL."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes, urlsplit

from events.errors import BadLogUrl
from events.logs.log import Log
from events.logs.sqlite.log import SqliteLog

# Bytes of the headers added to a dead letter, and the time limit of its append in milliseconds, which blocks the main
# loop.
PARKED_HEADERS_BYTES_MAX = 64 * 1024
PARKED_DELIVERY_MS = 6_000

_EXPECTED = "expected kafka://host:9092,host2:9092/topic or sqlite:///absolute/path/orders.db"


def open_log(url: str, environment: Mapping[str, str]) -> Log:
    """Returns the log, which connects on first use. `environment` may have Kafka's credentials (KAFKA_...).

    Raises BadLogUrl.
    """
    scheme = url.partition(":")[0].lower()
    if scheme == "kafka":
        # Imported here: kafka-python is large, and the embedded default does not need it.
        from events.logs.kafka.log import KafkaLog
        from events.logs.kafka.url import kafka_settings

        return KafkaLog(kafka_settings(url, environment))
    if scheme == "sqlite":
        return SqliteLog(_sqlite_path(url))
    raise BadLogUrl(f"EVENT_LOG_URL: {_EXPECTED}, got the scheme {scheme!r}")


def open_parked(url: str, environment: Mapping[str, str], topic: str | None) -> Log | None:
    """Returns the dead-letter topic, by default `<events' topic>.parked`; None for logs without topics.

    Raises BadLogUrl.
    """
    if url.partition(":")[0].lower() != "kafka":
        return None
    from events.logs.kafka.log import RECORD_BYTES_MAX, KafkaLog
    from events.logs.kafka.url import is_topic, kafka_settings

    settings = kafka_settings(url, environment)
    name = topic or f"{settings.topic}.parked"
    if not is_topic(name):
        raise BadLogUrl(f"PARKED_TOPIC: expected 1 to 249 of a-z A-Z 0-9 . _ -, or off, got {name[:260]!r}")
    if name == settings.topic:
        raise BadLogUrl(f"PARKED_TOPIC: expected another topic than the events', got {name!r}")
    return KafkaLog(replace(settings, topic=name), RECORD_BYTES_MAX + PARKED_HEADERS_BYTES_MAX, PARKED_DELIVERY_MS)


def sqlite_url(path: Path) -> str:
    """Returns the URL of a file. The path need not be UTF-8."""
    return f"sqlite://{quote(os.fsencode(path.absolute()))}"


def _sqlite_path(url: str) -> Path:
    parts = urlsplit(url)
    path = Path(os.fsdecode(unquote_to_bytes(parts.path)))
    if parts.netloc or parts.query or parts.fragment or not path.name:
        raise BadLogUrl(
            f"EVENT_LOG_URL: {_EXPECTED} (three slashes, no options; %25, %23 and %3F for %, # and ?), got {url!r}"
        )
    return path
