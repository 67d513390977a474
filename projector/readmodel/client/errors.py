"""What reading may end in, besides an answer.

ReadModelError
├── Unavailable         Redis does not answer, or cannot serve us now
└── ReadModelFault      the read model contradicts itself
"""

from typing import Self

from redis.exceptions import RedisClusterException, RedisError

from projector.readmodel.client.refusals import Refusal, refusal_of


class ReadModelError(Exception):
    """The root of the tree; its text is one line."""


class Unavailable(ReadModelError):
    """Trying again may help. The text goes to the log, never to the client.

    `refusal`: what Redis refused, None where it answered, and the answer does not do.
    """

    def __init__(self, text: str, refusal: Refusal | None = None) -> None:
        super().__init__(text)
        self.refusal = refusal

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """`error`: of redis-py, of the connection, or the end of the time for it."""
        if isinstance(error, RedisError | RedisClusterException):
            refusal = refusal_of(error)
        else:
            refusal = Refusal.TIMEOUT if isinstance(error, TimeoutError) else Refusal.AWAY
        return cls(f"Redis: {refusal}: {str(error) or type(error).__name__:.200}", refusal)


class ReadModelFault(ReadModelError):
    """An index names a document that is not there, or a document is not as it was agreed."""
