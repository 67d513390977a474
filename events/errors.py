"""Errors of events, of the log, and of sources.

EventsError
├── InvalidEvent        the event breaks the contract; says where, what was expected, what was found
├── LogError
│   ├── BadLogUrl       EVENT_LOG_URL is malformed or unusable
│   ├── LogUnavailable  the log does not answer for now; a retry may help
│   ├── LogMissing      the log does not exist
│   ├── LogGap          the log no longer holds a position that is needed
│   ├── LogDiverged     the log differs from the records that were applied
│   ├── LogCorrupt      a record cannot be read at all, so that it cannot even be parked
│   └── RecordTooLarge  the log accepts no record of that size
└── SourceError
    ├── BadSource          SOURCE_URL or SOURCE_MAPPING is malformed or unusable
    └── SourceUnavailable  the database does not answer, or refuses; a retry may help
"""


class EventsError(Exception):
    """The root of the tree; its text is a one-line message for the user."""


class InvalidEvent(EventsError):
    """An event that breaks the contract.

    `path` is the JSON path of the offending value (`$.data.total`), `problem` says what was expected and found.
    The text of the error is `<path>: <problem>`.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class LogError(EventsError):
    pass


class BadLogUrl(LogError):
    pass


class LogUnavailable(LogError):
    pass


class LogMissing(LogError):
    pass


class LogGap(LogError):
    pass


class LogDiverged(LogError):
    pass


class LogCorrupt(LogError):
    pass


class RecordTooLarge(LogError):
    pass


class SourceError(EventsError):
    pass


class BadSource(SourceError):
    pass


class SourceUnavailable(SourceError):
    pass
