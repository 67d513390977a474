"""The page of a list: the read model's answer, and the body made of it."""

from msgspec import Struct

from api.counted import members
from api.splice import documents, list_body
from api.walk import next_part
from projector.readmodel.query.engine import Engine
from projector.readmodel.query.page.listing import Answer
from projector.readmodel.query.positions import Positions
from projector.readmodel.query.query import Query


class Page(Struct, frozen=True):
    """`body`: a JSON object."""

    answer: Answer
    body: bytes

    @property
    def positions(self) -> Positions:
        return self.answer.positions


async def read_page(engine: Engine, query: Query) -> Page:
    """Raises Unavailable, ReadModelFault."""
    answer = await engine.list(query)
    return Page(answer, body_of(query, answer, await documents(query, answer.rows, answer.records)))


def body_of(query: Query, answer: Answer, rows: bytes) -> bytes:
    """`rows`: the documents of the page, joined by commas."""
    more = (next_part(answer.next) if query.walks else b"") + members(query.aggregates, answer.counted)
    return list_body(rows, answer.count, query.offset, query.limit, more)
