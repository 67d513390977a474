"""`GET /admin/order-groups/explain`: how a list is answered, as `projector explain` shows it."""

from time import perf_counter

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from api import errors
from api.freshness.positions import HEADER
from api.middleware.access import Access, RuledRoute
from api.middleware.auth import identity_of
from api.middleware.observe import exchange_of
from api.middleware.work import Work
from api.params.query import parse_list
from api.requests import query_string
from projector.readmodel.query.engine import Engine
from projector.readmodel.query.explain import MEANINGS, Round
from projector.readmodel.query.plan import PlanTaken, cost

EXPLAIN_PATH = "/admin/order-groups/explain"


class ExplainedStep(Struct, frozen=True):
    """See `Step`. `call`: 1 for the first; `meaning`: of `what`, for people."""

    call: int
    shard: int
    what: str
    key: str
    groups: int
    meaning: str


class Explained(Struct, frozen=True):
    """`ms`: of this one run, in the API, with all round trips to Redis."""

    plan: PlanTaken
    steps: list[ExplainedStep]
    count: int
    rows: int
    ms: float


def explain_route(engine: Engine, work: Work) -> RuledRoute:
    async def explain(request: Request) -> Response:
        query = parse_list(query_string(request))
        rounds: list[Round] = []
        async with work.admitted(identity_of(request.scope).name, cost(query)):
            started_s = perf_counter()
            answer = await engine.list(query, rounds)
        ms = round((perf_counter() - started_s) * 1000, 3)
        exchange_of(request.scope).plan = answer.plan
        found = Explained(answer.plan, _steps(rounds), answer.count, len(answer.rows), ms)
        headers = {HEADER: answer.snapshot.text, "Cache-Control": "private, no-cache"}
        return errors.json_response(msgspec.json.encode(found), headers=headers)

    return RuledRoute(EXPLAIN_PATH, explain, Access.CREDENTIALS, slash=True)


def _steps(rounds: list[Round]) -> list[ExplainedStep]:
    return [
        ExplainedStep(call, shard.number, step.what, step.key, step.groups, MEANINGS[step.what])
        for call, shards in enumerate(rounds, 1)
        for shard in shards
        for step in shard.steps
    ]
