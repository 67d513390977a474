"""Sizes of generations, which a projector measures now and then for the API: an estimate takes thousands of calls."""

from msgspec import Struct

SIZES = "{og:live}:sizes"


class Sizes(Struct, frozen=True):
    """`at`: RFC 3339. `bytes`: number of a generation -> approximate bytes in Redis."""

    at: str
    bytes: dict[int, int]
