"""The contract and the log: what publishers and the projector agree on."""

from events.errors import (
    BadLogUrl,
    EventsError,
    InvalidEvent,
    LogDiverged,
    LogError,
    LogGap,
    LogMissing,
    LogUnavailable,
)
from events.logs.log import Partition, Position
from events.publisher import Publisher

__all__ = [
    "BadLogUrl",
    "EventsError",
    "InvalidEvent",
    "LogDiverged",
    "LogError",
    "LogGap",
    "LogMissing",
    "LogUnavailable",
    "Partition",
    "Position",
    "Publisher",
]
