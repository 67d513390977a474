"""Control signals: exceptions that make the main loop do something else than the next batch."""


class Rewind(Exception):
    """The polled records do not continue Redis' positions: read the positions again, and resume there.

    `reason`: `lost_writes`, or `generation` where another generation is live.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Rejoin(Exception):
    """Another process has written one of our partitions: leave the group, and join it again."""


class Closed(Exception):
    """The generation is closed for writing: continue in the live one."""
