"""An operator: asks the API for pipeline, parked events and actions, and waits for what becomes of them."""

import hashlib
from pathlib import Path
from typing import Any

import httpx

from tests.processes import Api
from tests.servers.process import wait_until

KEY = "ok_0123456789abcdef"
KEY_HASH = hashlib.sha256(KEY.encode()).hexdigest()
# The name of that key in logs.
WHO = f"key {KEY_HASH[:8]}"
ENDED = ("done", "refused", "failed")
# How long a replay of a few thousand events may take on a busy machine.
ACTION_S = 60.0

Json = dict[str, Any]


class OperatorApi(Api):
    """`projector serve` with one operator, whose key `get_json` and the methods below it send."""

    def __init__(self, cwd: Path, redis_url: str, **settings: str) -> None:
        super().__init__(cwd, redis_url, **{"OPERATOR_KEY_HASHES": KEY_HASH, **settings})

    def ask(self, method: str, path: str, json: object = None, **parameters: object) -> httpx.Response:
        def ask() -> httpx.Response:
            return self.client.request(
                method,
                f"/admin/projector/{path}",
                json=json,
                params={name: str(value) for name, value in parameters.items()},
                headers={"Authorization": f"Bearer {KEY}"},
            )

        answers = [ask()]

        def is_answered() -> bool:
            if answers[-1].status_code == 503:
                answers.append(ask())
            return answers[-1].status_code != 503

        # Redis may be busy for longer than a request waits.
        wait_until(is_answered, ACTION_S, "an answer but 503")
        return answers[-1]

    def pipeline(self) -> Json:
        return found(self.ask("GET", "pipeline"))

    def parked(self, **parameters: object) -> Json:
        return found(self.ask("GET", "parked", **parameters))

    def request(self, action: str, arguments: Json, **more: object) -> str:
        """Returns the id of the action."""
        answer = self.ask("POST", "actions", {"action": action, "arguments": arguments, **more})
        assert answer.status_code == 202, answer.text
        assert answer.json()["action"]["state"] == "waiting"
        return str(answer.json()["action"]["id"])

    def action(self, action_id: str) -> Json:
        one: Json = found(self.ask("GET", f"actions/{action_id}"))["action"]
        return one

    def ended(self, action_id: str) -> Json:
        wait_until(lambda: self.action(action_id)["state"] in ENDED, ACTION_S, f"the end of the action {action_id}")
        return self.action(action_id)

    def plan(self, action: str, arguments: Json) -> Json:
        """Returns the answer to a dry run."""
        answer = self.ended(self.request(action, arguments, dry_run=True))
        assert answer["state"] == "done", answer
        return answer

    def do(self, action: str, arguments: Json) -> Json:
        """Plans and does it. Returns the answer."""
        expected = self.plan(action, arguments)["result"]["expected"]
        answer = self.ended(self.request(action, arguments, expected=expected))
        assert answer["state"] == "done", answer
        return answer


def found(answer: httpx.Response) -> Json:
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body
