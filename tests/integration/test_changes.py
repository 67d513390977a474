"""The stream of changes, on a real server and a real Redis."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from projector.parked.listing import entries
from projector.parked.redrive import redrive
from projector.store.nodes import Nodes
from projector.store.redis import Store
from tests.integration.parking import apply, records
from tests.integration.raw import AUTHORIZATION, Connection, request
from tests.integration.seed import VERSION
from tests.integration.streams import PATH, Stream, Writer
from tests.integration.test_bounds import metric
from tests.poison import event
from tests.processes import Api
from tests.servers.process import wait_until
from tests.servers.redis import RedisHome, RedisServer

SOON_S = 20.0


@pytest.fixture
def writer(one_redis_url: str) -> Iterator[Writer]:
    store = Store(Nodes(one_redis_url))
    yield Writer(store)
    store.nodes.close()


@pytest.fixture
def api(one_redis_url: str, tmp_path: Path, writer: Writer) -> Iterator[Api]:
    with Api(tmp_path, one_redis_url, LOG_FORMAT="json") as api:
        yield api
        assert "Traceback" not in api.text()


SUBSCRIBERS = "order_groups_api_subscribers"
LISTS = "order_groups_api_followed_lists"


def test_a_commit_is_reported_with_position_and_ids(api: Api, writer: Writer) -> None:
    writer.write(2)
    with Stream(api.port) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        first = stream.got()
        assert (first.kind, first.data) == ("change", {"position": "orders/0@2", "ids": []})
        assert first.id == f"{writer.generation.nonce}:1"
        began_s = time.monotonic()
        ids = writer.write(3)
        second = stream.got()
        assert time.monotonic() - began_s < 1, "woken, not found by the poll"
        assert (second.kind, second.id) == ("change", f"{writer.generation.nonce}:2")
        assert second.data["position"] == "orders/0@5"
        assert set(second.data["ids"]) == ids
        assert api.client.head(PATH).headers["content-type"] == stream.headers["content-type"]


def test_a_list_is_counted_and_compared(api: Api, writer: Writer) -> None:
    writer.write(2, status="pending")
    with Stream(api.port, "status=pending&limit=1") as stream:
        assert stream.got().data["list"] == {"count": 2, "changed": True}
        writer.write(1, status="completed")
        assert stream.got().data["list"] == {"count": 2, "changed": False}
        writer.write(1, status="pending")
        found = stream.got().data
        assert (found["list"], len(found["ids"])) == ({"count": 3, "changed": True}, 1)


def test_the_page_is_compared_as_it_is_served(api: Api, writer: Writer) -> None:
    """Its rows change, and what `fields` selects of them does not."""
    writer.write_events([event(1)])
    with Stream(api.port, "fields=id") as narrow, Stream(api.port, "fields=total") as wide:
        assert narrow.got().data["list"] == wide.got().data["list"] == {"count": 1, "changed": True}
        writer.write_events([event(1, version=2, total=5000)])
        assert narrow.got().data["list"] == {"count": 1, "changed": False}
        assert wide.got().data["list"] == {"count": 1, "changed": True}


def test_what_is_counted_beside_a_page_is_compared_too(api: Api, writer: Writer) -> None:
    writer.write(1, status="pending")
    with Stream(api.port, "status=pending&limit=0&facets=status:all") as stream:
        assert stream.got().data["list"] == {"count": 1, "changed": True}
        writer.write(1, status="completed")
        assert stream.got().data["list"] == {"count": 1, "changed": True}


def test_many_groups_are_not_named(api: Api, writer: Writer) -> None:
    with Stream(api.port) as stream:
        stream.got()
        ids = writer.write(200)
        assert set(stream.got().data["ids"]) == ids
        writer.write(201)
        assert stream.got().data == {"position": "orders/0@401", "many": True}


def test_a_redrive_is_reported_though_no_position_moves(api: Api, writer: Writer) -> None:
    writer.write(1)
    apply(writer.store, writer.generation, records([event(7)], 1), {1})
    with Stream(api.port) as stream:
        first = stream.got()
        assert redrive(writer.store, writer.generation, entries(writer.store, writer.generation)).applied == 1
        second = stream.got()
        assert second.data == {"position": first.data["position"], "ids": ["og_7"]}
        assert second.id != first.id


@pytest.mark.parametrize("query", ["", "limit=5"])
def test_at_most_five_events_in_a_second(api: Api, writer: Writer, query: str) -> None:
    with Stream(api.port, query) as stream:
        stream.got()
        began_s, version = time.monotonic(), 0
        while time.monotonic() < began_s + 3:
            version += 1
            writer.write_events([event(1, version=version)])
        spent_s, events = time.monotonic() - began_s, 1
        while stream.got().data["position"] != f"orders/0@{version}":
            events += 1
    assert version > 50
    # The last one comes after the last commit.
    assert 5 * (spent_s - 1) <= events + 1 <= 5 * (spent_s + 1) + 1


def test_it_goes_on_without_a_gap_on_another_worker(one_redis_url: str, tmp_path: Path, writer: Writer) -> None:
    writer.write(1)
    with Api(tmp_path, one_redis_url) as one, Api(tmp_path, one_redis_url) as two:
        told, last, written = set(), "", set()
        for turn in range(12):
            with Stream((one, two)[turn % 2].port, "limit=3", last) as stream:
                first = stream.got()
                assert first.kind == "change"
                told |= set(first.data["ids"])
                # Those that the stream brings, and those between two streams.
                written |= (ids := writer.write(2))
                for found in stream.until(ids - set(first.data["ids"])):
                    told |= set(found.data["ids"])
                last = stream.id
            written |= writer.write(2)
        with Stream(one.port, "", last) as stream:
            told |= set(stream.got().data["ids"])
        assert len(written) == 48
        assert told == written


def test_several_shards_have_a_number_each(one_redis_url: str, tmp_path: Path) -> None:
    store = Store(Nodes(one_redis_url))
    writer = Writer(store, shards=3)
    writer.write(30)
    with Api(tmp_path, one_redis_url) as api, Stream(api.port, "limit=1") as stream:
        first = stream.got()
        assert first.id == f"{writer.generation.nonce}:1.1.1"
        ids = writer.write(30)
        found = stream.until(ids)
        assert stream.id == f"{writer.generation.nonce}:2.2.2"
        assert found[-1].data["position"] == "orders/0@60"
        assert found[-1].data["list"] == {"count": 60, "changed": True} or len(found) > 1
        with Stream(api.port, last=first.id) as again:
            assert set(again.got().data["ids"]) == ids
    store.nodes.close()


def test_it_follows_a_cluster(cluster_url: str, tmp_path: Path) -> None:
    store = Store(Nodes(cluster_url))
    writer = Writer(store, shards=3)
    writer.write(30)
    with Api(tmp_path, cluster_url) as api, Stream(api.port, "limit=1") as stream:
        assert stream.got().data == {"position": "orders/0@30", "ids": [], "list": {"count": 30, "changed": True}}
        last = stream.id
        ids = writer.write(30)
        assert stream.until(ids)[-1].data["position"] == "orders/0@60"
        with Stream(api.port, last=last) as again:
            assert set(again.got().data["ids"]) == ids
    store.nodes.close()


def test_a_stream_that_missed_nothing_says_so(api: Api, writer: Writer) -> None:
    writer.write(1)
    with Stream(api.port, "limit=3") as stream:
        last = stream.got().id
    with Stream(api.port, "limit=3", last) as stream:
        assert stream.got().data["list"] == {"count": 1, "changed": False}


@pytest.mark.parametrize("last", ["x", "other:1", "{nonce}:1.1", "{nonce}:99"])
def test_what_cannot_go_on_is_reset(api: Api, writer: Writer, last: str) -> None:
    writer.write(1)
    with Stream(api.port, "limit=3", last.format(nonce=writer.generation.nonce)) as stream:
        reset, state = stream.got(), stream.got()
        assert reset.kind == "reset"
        assert reset.data["reason"]
        assert (state.kind, state.id) == ("change", f"{writer.generation.nonce}:1")
        assert state.data == {"position": "orders/0@1", "ids": [], "list": {"count": 1, "changed": True}}


def test_commits_that_are_no_longer_kept_are_a_reset(api: Api, writer: Writer, one_redis_url: str) -> None:
    for _ in range(3):
        writer.write(1)
    with Redis.from_url(one_redis_url) as client:
        client.zremrangebyrank("og:{0.0}:changed", 0, 1)
    with Stream(api.port, last=f"{writer.generation.nonce}:1") as stream:
        assert [stream.got().kind, stream.got().kind] == ["reset", "change"]


def test_another_generation_is_a_reset(api: Api, writer: Writer, one_redis_url: str) -> None:
    writer.write(1)
    with Stream(api.port) as plain, Stream(api.port, "limit=2") as listed, Redis.from_url(one_redis_url) as client:
        last = plain.got().id
        assert listed.got().data["list"]["count"] == 1
        # Of two shards, with nothing in it.
        client.set("og:live", json.dumps({"number": 5, "shards": 2, "version": VERSION, "nonce": "other"}))
        for stream in (plain, listed):
            reset, state = stream.got(), stream.got()
            assert (reset.kind, reset.data) == ("reset", {"reason": "another generation is active"})
            assert (state.kind, state.id, state.data["ids"]) == ("change", "other:0.0", [])
        assert state.data["list"] == {"count": 0, "changed": True}
        with Stream(api.port, last=last) as again:
            assert again.got().kind == "reset"


def test_commits_that_redis_lost_are_a_reset(api: Api, writer: Writer, one_redis_url: str) -> None:
    """As after a failover: the number is given again, to another commit."""
    writer.write(1)
    with Stream(api.port) as stream, Redis.from_url(one_redis_url) as client:
        stream.got()
        (entry,) = client.zrange("og:{0.0}:changed", 0, -1)
        number, _, members = entry.split(b":", 2)
        client.zrem("og:{0.0}:changed", entry)
        client.zadd("og:{0.0}:changed", {number + b":0123456789abcdef:" + members: 1})
        assert stream.got().kind == "reset"


def test_a_list_is_read_once_for_all_who_ask_for_it(api: Api, writer: Writer, one_redis_url: str) -> None:
    writer.write(5)
    with Redis.from_url(one_redis_url) as client, ExitStack() as open_streams:

        def scripts_for_a_commit() -> int:
            before = scripts(client)
            ids = writer.write(1)
            for stream in streams:
                stream.until(ids)
            return scripts(client) - before

        def scripts(client: Any) -> int:
            return int(client.info("commandstats")["cmdstat_evalsha"]["calls"])

        streams = [open_streams.enter_context(Stream(api.port, "limit=7&order=total"))]
        streams[0].got()
        alone = min(scripts_for_a_commit() for _ in range(5))
        # The same list in other words.
        spelled = ("limit=7&order=total", "order=total&limit=7", "limit=7&order=total&q=", "limit=7.5&order=total")
        streams += [open_streams.enter_context(Stream(api.port, spelled[n % 4])) for n in range(300)]
        for stream in streams[1:]:
            stream.got()
        assert metric(api, SUBSCRIBERS) == 301
        assert metric(api, LISTS) == 1
        assert min(scripts_for_a_commit() for _ in range(5)) <= alone + 2
        assert metric(api, "order_groups_api_events_sent_total") >= 301 * 6


def test_nothing_is_left_of_clients_that_are_gone(api: Api, writer: Writer, one_redis_url: str) -> None:
    with Redis.from_url(one_redis_url) as client:
        api.client.get("/admin/order-groups")
        files = open_files(api)
        for turn in range(200):
            with Stream(api.port, ("", "limit=1", "limit=2")[turn % 3]) as stream:
                if turn % 2:
                    stream.got()
        wait_until(lambda: metric(api, SUBSCRIBERS) == 0, SOON_S, "no subscribers")
        assert metric(api, LISTS) == 0
        # The subscription to commits is kept for a while.
        wait_until(lambda: open_files(api) <= files + 1, SOON_S, "their connections closed")
        channels = client.pubsub_numsub("og:{0.0}:stored")
        assert channels[0][1] <= 1
    wait_until(lambda: api.text().count(f'"target":"{PATH}') == 200, SOON_S, "a line of the access log for each")
    assert '"duration_ms":' in api.text()


def open_files(api: Api) -> int:
    return len(os.listdir(f"/proc/{api.process.pid}/fd"))


def test_sigterm_ends_streams(api: Api, writer: Writer) -> None:
    with Stream(api.port) as plain, Stream(api.port, "limit=1") as listed:
        plain.got()
        listed.got()
        began_s = time.monotonic()
        api.process.send_signal(signal.SIGTERM)
        for stream in (plain, listed):
            assert stream.next() is None
            assert stream.has_last_chunk
        assert api.process.wait(5) == 0
        assert time.monotonic() - began_s < 3


def test_redis_killed_ends_streams_and_they_come_back(redis_home: RedisHome, tmp_path: Path) -> None:
    with RedisServer(redis_home) as server:
        store = Store(Nodes(server.url))
        writer = Writer(store)
        writer.write(1)
        with Api(tmp_path, server.url) as api:
            with Stream(api.port) as plain, Stream(api.port, "limit=1") as listed:
                plain.got()
                listed.got()
                server.kill()
                for stream in (plain, listed):
                    assert stream.got().kind == "unavailable"
                    assert stream.next() is None
                    assert stream.has_last_chunk
            with Stream(api.port) as refused:
                assert (refused.status, refused.headers["retry-after"]) == (503, "1")
                assert refused.body()["type"] == "unavailable"
            server.restart()
            wait_until(lambda: api.client.get("/admin/order-groups").status_code == 200, SOON_S, "Redis")
            with Stream(api.port) as stream:
                assert stream.status == 200
                stream.got()
                with server.client() as client:
                    client.flushall()
                again = Writer(store)
                assert stream.got().kind == "reset"
                stream.got()
                ids = again.write(1)
                assert ids <= set(stream.until(ids)[-1].data["ids"])
            assert "Traceback" not in api.text()
        store.nodes.close()


def test_too_many_streams_and_lists_get_429(one_redis_url: str, tmp_path: Path, writer: Writer) -> None:
    with Api(tmp_path, one_redis_url, API_SUBSCRIBERS_MAX="60") as api, ExitStack() as open_streams:
        for n in range(50):
            open_streams.enter_context(Stream(api.port, f"limit={n}")).got()
        refused = open_streams.enter_context(Stream(api.port, "limit=50"))
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert refused.body()["type"] == "too_many_requests"
        for n in range(10):
            open_streams.enter_context(Stream(api.port, f"limit={n}")).got()
        refused = open_streams.enter_context(Stream(api.port))
        assert (refused.status, refused.body()["type"]) == (429, "too_many_requests")
        text = api.client.get("/metrics").text
        for reason in ("lists", "subscribers"):
            assert f'order_groups_api_refused_total{{reason="{reason}"}} 1.0' in text


def test_bad_parameters_and_credentials_are_refused_as_those_of_a_list(api: Api) -> None:
    assert api.client.get(PATH + "?limit=x").json() == api.client.get("/admin/order-groups?limit=x").json()
    assert api.client.get(PATH + "?foo=1").status_code == 400
    with Connection(api.port) as connection:
        connection.send(request(PATH, headers=b""))
        assert connection.got().status == 401
        connection.send(request(PATH, headers=AUTHORIZATION, method="POST"))
        assert connection.got().status == 405


def test_a_list_that_is_refused_is_no_stream(api: Api, writer: Writer, one_redis_url: str) -> None:
    """What to count is too much, or the mark is of another generation; nothing is left of either."""
    writer.write(2)
    mark = api.client.get("/admin/order-groups?limit=1&after=").json()["next"]
    with Redis.from_url(one_redis_url) as client:
        client.zadd(f"{writer.generation.keys(0).prefix}values:status", {f"status {n}": 1 for n in range(1001)})
        with Stream(api.port, "facets=status") as stream:
            assert (stream.status, stream.body()["type"]) == (400, "invalid_data")
        client.set("og:live", json.dumps({"number": 0, "shards": 1, "version": VERSION, "nonce": "another"}))
        with Stream(api.port, f"after={mark}") as stream:
            assert "a mark of the active generation" in stream.body()["message"]
    assert (metric(api, SUBSCRIBERS), metric(api, LISTS)) == (0, 0)


def test_no_generation_is_a_503(one_redis_url: str, tmp_path: Path) -> None:
    with Api(tmp_path, one_redis_url) as api, Stream(api.port) as stream:
        assert stream.status == 503


@pytest.mark.thorough
@pytest.mark.timeout(180)
def test_a_client_that_does_not_read_is_disconnected(api: Api, writer: Writer) -> None:
    """What it missed is in the kernel's buffers, and in one event of bounded size."""
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with slow, Stream(api.port) as reading:
        slow.connect(("127.0.0.1", api.port))
        slow.sendall(request(PATH))
        reading.got()
        wait_until(lambda: metric(api, SUBSCRIBERS) == 2, SOON_S, "both streams")
        ids = [f"og_{'x' * 200}_{n}" for n in range(200)]
        version, deadline_s = 0, time.monotonic() + 150
        while metric(api, SUBSCRIBERS) == 2:
            assert time.monotonic() < deadline_s, "a client that does not read stays"
            version += 1
            writer.write_events(
                [event(n, order_group_id=one, version=version, total=version) for n, one in enumerate(ids)]
            )
            # Another client's stream goes on.
            reading.until({ids[-1]})
        assert version > 30, "disconnected too early"
    wait_until(lambda: metric(api, SUBSCRIBERS) == 0, SOON_S, "no subscribers")
