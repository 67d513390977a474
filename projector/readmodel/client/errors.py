"""Errors of reading.

ReadModelError
├── Unavailable         Redis does not answer, or refuses
└── ReadModelFault      the read model is inconsistent
"""

from typing import Self

from redis.exceptions import RedisClusterException, RedisError

from projector.readmodel.client.refusals import Refusal, refusal_of


class ReadModelError(Exception):
    """The base class. The text is one line."""


class Unavailable(ReadModelError):
    """A retry may succeed. The text is for the log, not for the client.

    `refusal`: why Redis refused; None if it answered, but the answer cannot be used.
    """

    def __init__(self, text: str, refusal: Refusal | None = None) -> None:
        super().__init__(text)
        self.refusal = refusal

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """`error`: of redis-py, of the connection, or a time-out."""
        if isinstance(error, RedisError | RedisClusterException):
            refusal = refusal_of(error)
        else:
            refusal = Refusal.TIMEOUT if isinstance(error, TimeoutError) else Refusal.AWAY
        return cls(f"Redis: {refusal}: {str(error) or type(error).__name__:.200}", refusal)


class ReadModelFault(ReadModelError):
    """An index names a missing document, or a stored value does not have its expected form."""
