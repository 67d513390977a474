"""Every answer of the corpus is what it was."""

from tests.corpus import ANSWERS, REQUESTS, SHARDS, answers
from tests.integration.ways import WAYS


def test_answers_are_what_they_were(one_redis_url: str) -> None:
    kept = ANSWERS.read_text(encoding="utf-8").splitlines()
    assert len(kept) == len(SHARDS) * len(WAYS) * REQUESTS
    assert sum(int(line.split("\t")[3]) > 0 for line in kept) > len(kept) / 2
    for line, (answer, query) in zip(kept, answers(one_redis_url), strict=True):
        assert answer == line, query
