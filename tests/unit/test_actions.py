"""What an executor does with a request, and what the API reads of one: decisions without servers."""

import msgspec
import pytest

from api.http.body import ACTIONS_PATH, BODY_BYTES_MAX, has_body
from projector.actions.book import Entry, Todo, differing
from projector.readmodel.operations.parked import sort_key
from projector.readmodel.schema.actions import (
    Action,
    Answer,
    Build,
    Chosen,
    Discard,
    Drop,
    OfGeneration,
    Redrive,
    Replay,
    Request,
    name_of,
    shown,
)

NOW_MS = 1_780_000_000_000
REQUEST = Request("actor user_1", "2026-06-01T10:00:00+00:00", Drop(arguments=OfGeneration(1), expected={}))


def entry(age_s: int, state: str | None = None, request: Request | None = REQUEST) -> Entry:
    answer = Answer(state, "", "process 1", "") if state else None
    return Entry(f"{NOW_MS - age_s * 1000}-3", request, answer)


@pytest.mark.parametrize(
    ("found", "todo"),
    [
        (entry(0), Todo.EXECUTE),
        (entry(60), Todo.EXECUTE),
        (entry(61), Todo.REFUSE),
        # The clock of a new master may be behind.
        (entry(-5), Todo.EXECUTE),
        (entry(1, request=None), Todo.REFUSE),
        (entry(1, "running"), Todo.GIVE_UP),
        (entry(7200, "running"), Todo.GIVE_UP),
        *((entry(1, state), Todo.NOTHING) for state in ("done", "refused", "failed")),
    ],
)
def test_what_is_to_be_done_with_a_request(found: Entry, todo: Todo) -> None:
    assert found.todo(NOW_MS) is todo


def test_what_differs_is_named() -> None:
    found = {"active": {"number": 1, "nonce": "b"}, "count": 2}
    assert differing(found, found) == []
    assert differing({**found, "count": 1}, found) == ["expected count 1, found 2"]
    assert differing({"count": 2}, found) == ['expected active null, found {"number":1,"nonce":"b"}']
    assert differing({**found, "more": True}, found) == ["expected more true, found null"]
    assert len(differing(None, found)) == 2


@pytest.mark.parametrize(
    ("action", "name"),
    [
        (Redrive(arguments=Chosen(positions=("orders/0@17",)), dry_run=True), "redrive"),
        (Discard(arguments=Chosen(all=True), expected={"count": 3}), "discard"),
        (Replay(arguments=Build(shards=3, park=True), expected={}), "replay"),
        (Replay(dry_run=True), "replay"),
    ],
)
def test_an_action_is_read_as_it_is_written(action: Action, name: str) -> None:
    assert msgspec.json.decode(msgspec.json.encode(action), type=Action) == action
    assert msgspec.json.decode(msgspec.json.encode(shown(action)), type=Action) == action
    assert (name_of(action), shown(action)["action"]) == (name, name)
    assert "arguments" in shown(action)


LENGTH = (b"content-length", b"10")


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        ("POST", ACTIONS_PATH, [LENGTH], True),
        ("POST", ACTIONS_PATH, [(b"content-length", str(BODY_BYTES_MAX).encode())], True),
        ("POST", ACTIONS_PATH, [(b"content-length", str(BODY_BYTES_MAX + 1).encode())], False),
        ("POST", ACTIONS_PATH, [(b"content-length", b"0" * 5000 + b"1")], True),
        ("POST", ACTIONS_PATH, [(b"content-length", b"1" * 5000)], False),
        ("POST", ACTIONS_PATH, [], False),
        ("POST", ACTIONS_PATH, [LENGTH, LENGTH], False),
        ("POST", ACTIONS_PATH, [(b"content-length", b"-1")], False),
        ("POST", ACTIONS_PATH, [LENGTH, (b"transfer-encoding", b"chunked")], False),
        ("POST", ACTIONS_PATH + "/", [LENGTH], False),
        ("POST", "/admin/order-groups", [LENGTH], False),
        ("PUT", ACTIONS_PATH, [LENGTH], False),
        ("GET", ACTIONS_PATH, [LENGTH], False),
    ],
)
def test_one_path_has_a_body(method: str, path: str, headers: list[tuple[bytes, bytes]], expected: bool) -> None:
    assert has_body(method, path, headers) is expected


def test_positions_are_ordered_by_offset() -> None:
    assert sorted(["b/0@1", "a/10@0", "a/2@9", "a/2@10"], key=sort_key) == ["a/2@9", "a/2@10", "a/10@0", "b/0@1"]
    for text in ("", "a", "a/0", "a@0", "/0@1", "a/x@1", "a/0@", "a/0@-1", "a/\u0663@1", "a/0@" + "1" * 5000):
        with pytest.raises(ValueError, match="expected a position") as refused:
            sort_key(text)
        assert len(str(refused.value)) < 300
