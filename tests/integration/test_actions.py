"""Actions of operators through HTTP: a real API, a real projector, a real log."""

import base64
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from events.logs.log import Entry
from tests.integration.operating import WHO, OperatorApi, found
from tests.integration.rebuilding import Shop
from tests.poison import event
from tests.processes import projector
from tests.servers.cluster import Place
from tests.servers.process import wait_until

EVENTS = 1000
BROKEN = json.dumps(event(9, total="much")).encode()


@pytest.fixture
def shop(tmp_path: Path, one_redis_url: str) -> Shop:
    shop = Shop(tmp_path, one_redis_url)
    shop.publish(EVENTS)
    return shop


@pytest.fixture
def api(tmp_path: Path, one_redis_url: str) -> Iterator[OperatorApi]:
    with OperatorApi(tmp_path, one_redis_url) as api:
        yield api


def executor(shop: Shop) -> int | None:
    """Returns the process that executes actions for this shop's projector."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            variables = (process / "environ").read_bytes()
        except OSError:
            continue
        if b"act" in command and f"EVENT_LOG_URL={shop.log_url}".encode() in variables:
            return int(process.name)
    return None


def states(api: OperatorApi) -> dict[int, str]:
    return {one["number"]: one["state"] for one in api.pipeline()["generations"]}


def test_a_whole_replay_and_back(shop: Shop, api: OperatorApi) -> None:
    with shop.run() as run:
        shop.wait()
        plan = api.plan("replay", {})
        assert plan["result"]["events"] == EVENTS
        assert plan["result"]["refusals"] == []
        assert states(api) == {0: "live"}
        done = api.do("replay", {"workers": 1})
        assert (done["result"]["differences"], done["who"]) == (0, WHO)
        assert states(api) == {0: "live", 1: "verified"}
        shop.publish(100)
        assert api.do("switch", {})["result"] == {"active": 1, "kept": 0}
        assert states(api) == {0: "kept", 1: "live"}
        shop.publish(100)
        shop.wait()
        shop.check()
        assert api.do("rollback", {"number": 0})["result"] == {"active": 0, "kept": 1}
        shop.publish(100)
        shop.wait()
        shop.check()
        assert api.do("drop", {"number": 1})["state"] == "done"
        assert states(api) == {0: "live"}
        with shop.place.client() as client:
            assert not list(client.scan_iter(match="og:{1.*"))
        for word in ("replay", "switch", "rollback", "drop"):
            assert f"action={word}" in run.text()
        assert run.process.poll() is None
        assert run.stop() == 0
    assert "action requested" in api.text()


def test_redrive_one_and_discard_the_others(shop: Shop, api: OperatorApi) -> None:
    shop.append([Entry(b"k", BROKEN, (("trace", b"\xff"),)) for _ in range(3)])
    with shop.run():
        wait_until(lambda: len(api.parked()["parked"]) == 3, 30, "three parked events")
        page = api.parked(limit=2)
        assert [one["position"] for one in page["parked"]] == [f"orders/0@{EVENTS}", f"orders/0@{EVENTS + 1}"]
        assert (page["count"], page["next"]) == (3, f"orders/0@{EVENTS + 1}")
        rest = api.parked(after=page["next"])
        assert [one["position"] for one in rest["parked"]] == [f"orders/0@{EVENTS + 2}"]
        assert rest["next"] is None
        first = page["parked"][0]
        assert first["reason"] == '$.data.total: expected decimal, got "much"'
        assert first["text"] == BROKEN.decode()
        assert base64.b64decode(first["value"]) == BROKEN
        assert first["headers"] == [["trace", base64.b64encode(b"\xff").decode()]]
        assert (first["attempts"], first["with_payload"]) == (1, True)

        expected = {"active": page["active"], "parked": {first["position"]: first["digest"]}}
        one = api.ended(api.request("redrive", {"positions": [first["position"]]}, expected=expected))
        assert (one["state"], one["result"]["still_parked"], one["result"]["applied"]) == ("done", 1, 0)
        again = api.parked()["parked"][0]
        assert again["attempts"] == 2
        # What was seen before is refused, and named.
        stale = api.ended(api.request("redrive", {"positions": [first["position"]]}, expected=expected))
        assert stale["state"] == "refused"
        assert again["digest"] in stale["text"]

        plan = api.plan("discard", {"all": True})
        assert plan["result"]["count"] == 3
        shop.append([Entry(b"k", BROKEN)])
        wait_until(lambda: api.parked()["count"] == 4, 30, "a fourth one")
        late = api.ended(api.request("discard", {"all": True}, expected=plan["result"]["expected"]))
        assert (late["state"], late["text"]) == ("refused", "expected count 3, found 4")
        assert api.do("discard", {"all": True})["result"] == {"discarded": 4}
        (partition,) = api.pipeline()["partitions"]
        assert partition["discarded"] == 4
        assert partition["parked"] == 0
        assert partition["received"] == EVENTS + 4


@pytest.mark.thorough
def test_a_replay_whose_process_is_killed(shop: Shop, api: OperatorApi) -> None:
    """It is marked, nobody executes it again, and the next request continues with what was built."""
    shop.publish(20_000)
    with shop.run():
        shop.wait()
        expected = api.plan("replay", {})["result"]["expected"]
        killed = api.request("replay", {}, expected=expected)
        wait_until(lambda: (api.action(killed)["progress"] or {}).get("total", 0) > 0, 30, "progress")
        process = executor(shop)
        assert process is not None
        os.kill(process, signal.SIGKILL)
        answer = api.ended(killed)
        assert (answer["state"], "the process that executed it has ended" in answer["text"]) == ("failed", True)
        assert states(api) == {0: "live", 1: "building"}
        assert "expected state" in api.ended(api.request("replay", {}, expected=expected))["text"]
        assert api.do("replay", {})["result"]["differences"] == 0
        assert api.action(killed) == answer
        assert states(api) == {0: "live", 1: "verified"}


@pytest.mark.thorough
def test_a_stopped_projector_stops_its_action(shop: Shop, api: OperatorApi) -> None:
    shop.publish(20_000)
    with shop.run() as run:
        shop.wait()
        stopped = api.request("replay", {}, expected=api.plan("replay", {})["result"]["expected"])
        wait_until(lambda: (api.action(stopped)["progress"] or {}).get("total", 0) > 0, 30, "progress")
        assert run.stop(timeout_s=20) == 0
    answer = api.action(stopped)
    assert (answer["state"], "the projector was stopped" in answer["text"]) == ("failed", True)


@pytest.mark.thorough
def test_events_are_applied_while_an_action_runs(shop: Shop, api: OperatorApi) -> None:
    shop.publish(20_000)
    with shop.run():
        shop.wait()
        action = api.request("replay", {}, expected=api.plan("replay", {})["result"]["expected"])
        applied = 0
        wait_until(lambda: (api.action(action)["progress"] or {}).get("total", 0) > 0, 30, "progress")
        while api.action(action)["state"] == "running":
            shop.publish(10)
            shop.wait()
            applied += 1
        assert applied > 1
        assert api.ended(action)["result"]["differences"] == 0


def test_without_a_projector_ten_requests_wait(api: OperatorApi) -> None:
    for number in range(10):
        api.request("drop", {"number": number}, dry_run=True)
    refused = api.ask("POST", "actions", {"action": "drop", "arguments": {"number": 11}, "dry_run": True})
    assert (refused.status_code, refused.json()["type"]) == (409, "conflict")
    assert "Already 10 actions wait" in refused.json()["message"]
    assert len(found(api.ask("GET", "actions"))["actions"]) == 10
    assert "action refused" in api.text()


def test_what_waited_for_a_minute_is_not_executed(shop: Shop, api: OperatorApi) -> None:
    """Nor what this release does not know."""
    recent = api.request("drop", {"number": 0}, dry_run=True)
    with shop.place.client() as client:
        ((_, fields),) = client.xrange("{og:live}:requests", recent, recent)
        client.delete("{og:live}:requests")
        old = f"{int(recent.partition('-')[0]) - 61_000}-0"
        client.xadd("{og:live}:requests", fields, id=old)
        unknown = client.xadd("{og:live}:requests", {"request": b'{"who":"x","at":"","action":{"action":"dance"}}'})
        assert api.action(old)["state"] == "refused"
        with shop.run() as run:
            wait_until(lambda: client.hlen("{og:live}:actions") == 2, 30, "both answers")
            assert [json.loads(client.hget("{og:live}:actions", one))["state"] for one in (old, unknown)] == [
                "refused"
            ] * 2
            assert "action begins" not in run.text()
    assert api.action(old)["text"] == "no projector began it within 60 s"
    assert [one["id"] for one in found(api.ask("GET", "actions"))["actions"]] == [old]


def test_two_projectors_execute_an_action_once(shop: Shop, api: OperatorApi) -> None:
    shop.append([Entry(b"k", BROKEN)])
    with shop.run() as one, shop.run() as two:
        wait_until(lambda: api.parked()["count"] == 1, 30, "a parked event")
        for attempt in range(1, 4):
            assert api.do("redrive", {"all": True})["result"]["still_parked"] == 1
            assert api.parked()["parked"][0]["attempts"] == attempt + 1
        texts = one.text() + two.text()
    begun = [line for line in texts.splitlines() if "action begins" in line and "dry_run=False" in line]
    assert len(begun) == 3


def test_the_pipeline_adds_up(shop: Shop, api: OperatorApi) -> None:
    before = api.pipeline()
    assert (before["active"], before["partitions"], before["generations"]) == (None, [], [])
    other = json.dumps({**event(1), "type": "cart.created"}).encode()
    shop.append([Entry(b"k", BROKEN), Entry(b"k", other)])
    with shop.run():
        shop.wait()
        wait_until(lambda: api.pipeline()["sizes_at"] is not None, 30, "the sizes")
        wait_until(lambda: api.pipeline()["partitions"][0]["end"] == EVENTS + 2, 30, "the end of the log")
        pipeline = api.pipeline()
        (partition,) = pipeline["partitions"]
        assert (partition["partition"], partition["position"], partition["lag"]) == ("orders/0", EVENTS + 2, 0)
        fates = ("applied", "stale", "passed_over", "parked", "discarded")
        assert partition["received"] == sum(partition[fate] for fate in fates) == EVENTS + 2
        assert (partition["parked"], partition["passed_over"], partition["paused_at"]) == (1, 1, None)
        assert pipeline["passed_over_types"] == ["cart.created"]
        status = projector("status", "--interval", "0", cwd=shop.folder, settings=shop.settings)
        assert 'Passed over, since their type is of no order: events of type "cart.created".' in status.stdout
        assert pipeline["end_age_s"] < 10
        (generation,) = pipeline["generations"]
        assert (generation["number"], generation["state"], generation["shards"]) == (0, "live", 1)
        assert generation["groups"] == len(shop.model().documents)
        assert pipeline["replay"] is None
        assert pipeline["active"]["number"] == 0


@pytest.mark.thorough
def test_of_several_shards_on_any_redis(tmp_path: Path, any_redis: Place) -> None:
    shop = Shop(tmp_path, any_redis)
    shop.publish(EVENTS)
    shop.append([Entry(b"k%d" % number, BROKEN) for number in range(25)])
    with OperatorApi(tmp_path, any_redis.url) as api, shop.run("--shards", "3"):
        wait_until(lambda: api.parked(limit=0)["count"] == 25, 30, "the parked events")
        positions, after = [], ""
        while after is not None:
            page = api.parked(limit=10, after=after)
            positions += [one["position"] for one in page["parked"]]
            after = page["next"]
        assert positions == [f"orders/0@{EVENTS + number}" for number in range(25)]
        assert api.do("redrive", {"all": True})["result"]["still_parked"] == 25
        assert api.do("replay", {"shards": 2, "park": True})["result"]["differences"] == 0
        api.do("switch", {})
        wait_until(lambda: api.pipeline()["partitions"][0]["lag"] == 0, 30, "the new generation to catch up")
        pipeline = api.pipeline()
        assert [(one["state"], one["shards"]) for one in pipeline["generations"]] == [("kept", 3), ("live", 2)]
        assert len({one["groups"] for one in pipeline["generations"]}) == 1
        assert pipeline["partitions"][0]["parked"] == 25
        assert api.do("discard", {"positions": positions[:3]})["result"] == {"discarded": 3}
        assert api.parked()["parked"][0]["position"] == positions[3]
