"""EVENT_LOG_URL to a log."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes, urlsplit

from events.errors import BadLogUrl
from events.logs.log import Log
from events.logs.sqlite.log import SqliteLog

# What is added to a parked record in headers, in bytes, and how long it may take to be stored, in milliseconds: the
# projector waits for it.
PARKED_HEADERS_BYTES_MAX = 64 * 1024
PARKED_DELIVERY_MS = 6_000

_EXPECTED = "expected kafka://host:9092,host2:9092/topic or sqlite:///absolute/path/orders.db"


def open_log(url: str, environment: Mapping[str, str]) -> Log:
    """Opens nothing yet: the first use connects. `environment` may hold Kafka's credentials (KAFKA_...).

    Raises BadLogUrl.
    """
    scheme = url.partition(":")[0].lower()
    if scheme == "kafka":
        # Imported here: kafka-python is large, and the embedded default does without it.
        from events.logs.kafka.log import KafkaLog
        from events.logs.kafka.url import kafka_settings

        return KafkaLog(kafka_settings(url, environment))
    if scheme == "sqlite":
        return SqliteLog(_sqlite_path(url))
    raise BadLogUrl(f"EVENT_LOG_URL: {_EXPECTED}, got the scheme {scheme!r}")


def open_parked(url: str, environment: Mapping[str, str], topic: str | None) -> Log | None:
    """The topic beside Kafka's, `<its name>.parked` if not told otherwise; None for other logs, which have no topics.

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
    beside = replace(settings, topic=name)
    return KafkaLog(beside, RECORD_BYTES_MAX + PARKED_HEADERS_BYTES_MAX, PARKED_DELIVERY_MS)


def sqlite_url(path: Path) -> str:
    """Of any path, also one that is not UTF-8."""
    return f"sqlite://{quote(os.fsencode(path.absolute()))}"


def _sqlite_path(url: str) -> Path:
    parts = urlsplit(url)
    path = Path(os.fsdecode(unquote_to_bytes(parts.path)))
    if parts.netloc or parts.query or parts.fragment or not path.name:
        raise BadLogUrl(
            f"EVENT_LOG_URL: {_EXPECTED} (three slashes, no options; %25, %23 and %3F for %, # and ?), got {url!r}"
        )
    return path
