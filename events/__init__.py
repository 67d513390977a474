"""The event contract and the log, shared by publishers and the projector."""

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
