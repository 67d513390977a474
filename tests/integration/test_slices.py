"""Where buckets begin by slices.lua is where they begin by tests/buckets.py, which was written without it."""

import json
import math
import random
from importlib.resources import files

import pytest
import redis

from tests.buckets import SLICES, bucket
from tests.unit.test_verify_buckets import scores

# Answers where some buckets begin, as ZRANGE takes it.
SCRIPT = """
%s
%s
local found = {}
for i, one in ipairs(cjson.decode(ARGV[2])) do
  found[i] = score_from(ARGV[1], tonumber(one))
end
return found
"""


@pytest.mark.parametrize("field", SLICES)
def test_a_bucket_begins_where_the_one_before_it_ends(redis_url: str, field: str) -> None:
    texts = [
        files("projector.readmodel.schema").joinpath("buckets.lua").read_text(),
        files("projector.readmodel.query.lua").joinpath("parts", "slices.lua").read_text(),
    ]
    some = [score for score in scores(field) if abs(score) <= (1e300 if field == "total" else 2**53)]
    chance = random.Random(field)
    numbers = sorted({bucket(field, score) + n for score in chance.sample(some, 1500) for n in (0, 1)})
    # All are beyond 0, and none is beyond that of groups without a value.
    numbers = [number for number in numbers if 0 < number <= 2**52]
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        begins = client.eval(SCRIPT % tuple(texts), 0, field, json.dumps([str(number) for number in numbers]))
    assert isinstance(begins, list)
    beyond = 0
    for number, begin in zip(numbers, begins, strict=True):
        edge = float(begin.lstrip("("))
        near = [edge, math.nextafter(edge, math.inf), math.nextafter(edge, -math.inf), *chance.sample(some, 20)]
        for score in near:
            if (math.isinf(score) and field != "display_id") or score == -math.inf:
                continue
            is_in = score > edge if begin.startswith("(") else score >= edge
            assert is_in == (bucket(field, score) >= number), (number, begin, score)
            beyond += not is_in
    assert beyond > len(numbers)
