"""Names of the headers with positions, and the parser of X-Min-Position. Pure."""

import re
from collections.abc import Sequence
from urllib.parse import unquote

from api.params.query import InvalidRequest
from api.params.tree import shortened
from projector.readmodel.query.positions import Positions

HEADER = "X-Projection-Position"
MIN_HEADER = "X-Min-Position"
# Partitions in one X-Min-Position.
PARTITIONS_MAX = 1000

_POSITION = re.compile(r"(?P<topic>[^/@;]+)/(?P<number>[0-9]{1,10})@(?P<offset>[0-9]{1,19})")


def parse_min_position(values: Sequence[bytes]) -> Positions:
    """Parses the X-Min-Position headers of one request. The larger of two offsets of one partition counts.

    Raises InvalidRequest.
    """
    found: dict[str, int] = {}
    for element in b",".join(values).decode("utf-8", "replace").split(","):
        text = element.strip(" \t")
        if not text:
            continue
        match = _POSITION.fullmatch(text)
        if match is None:
            raise InvalidRequest(
                f"Expected form: 'orders/0@81235,orders/1@7' for header '{MIN_HEADER}', got: '{shortened(text)}'"
            )
        name = f"{unquote(match['topic'])}/{int(match['number'])}"
        found[name] = max(int(match["offset"]), found.get(name, 0))
        if len(found) > PARTITIONS_MAX:
            raise InvalidRequest(f"Too many partitions in header '{MIN_HEADER}', expected at most: '{PARTITIONS_MAX}'")
    return found
