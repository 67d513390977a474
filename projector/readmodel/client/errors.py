"""Errors of reading.

ReadModelError
├── OtherGeneration     a mark of a walk is not of the active generation
├── Unavailable         Redis does not answer, or refuses
├── TooMuch             what is to be counted takes too long
└── ReadModelFault      the read model is inconsistent
"""

from typing import Self

from redis.exceptions import RedisClusterException, RedisError

from projector.readmodel.client.refusals import Refusal, refusal_of, text_of


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
        return cls(f"Redis: {refusal}: {text_of(error):.200}", refusal)


class OtherGeneration(ReadModelError):
    """A walk cannot go on from its mark, and has to begin anew."""


class TooMuch(ReadModelError):
    """What is to be counted takes Redis too long. `field`: of which."""

    def __init__(self, field: str) -> None:
        super().__init__(f"counting {field} takes too long")
        self.field = field


class ReadModelFault(ReadModelError):
    """An index names a missing document, or a stored value does not have its expected form."""
