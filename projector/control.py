"""Where the loop goes on, when it is not with the next batch."""


class Rewind(Exception):
    """What was polled does not fit what Redis has: read its positions again, and go on from there.

    `reason`: lost_writes, or generation where another one is live.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Rejoin(Exception):
    """Another process has written our partition: give up what we hold, and ask the log anew what is ours."""


class Closed(Exception):
    """The generation is not ours to write any more: look for the live one."""
