"""What can be wrong with an event or with the log.

EventsError
├── InvalidEvent        the event breaks the contract; says where, what was expected, what was found
└── LogError
    ├── BadLogUrl       EVENT_LOG_URL cannot be read
    ├── LogUnavailable  the log does not answer now; trying again may help
    ├── LogMissing      there is no such log
    ├── LogGap          the log no longer holds a position that is needed
    ├── LogDiverged     the log holds other records than those that were applied
    ├── LogCorrupt      a record that cannot be read at all, so that not even parking it is possible
    └── RecordTooLarge  the log takes no record of that size
"""


class EventsError(Exception):
    """The root of the tree; its text is one line fit for a user."""


class InvalidEvent(EventsError):
    """An event that breaks the contract.

    `path` is the JSON path of the offending value (`$.data.total`), `problem` says what was expected
    and what was found. The text of the error is `<path>: <problem>`.
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
