"""Slots and time limits of requests, around an application that the test controls."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Message, Receive, Scope, Send

from api.middleware.accesslog import AccessLog, Form
from api.middleware.admission import Admission, Slots
from api.middleware.metrics import Metrics
from api.middleware.observe import Observed, Observer

Work = Callable[[Send], Awaitable[None]]
START: Message = {"type": "http.response.start", "status": 200, "headers": []}
BODY: Message = {"type": "http.response.body", "body": b"x"}


class Sink:
    def write(self, data: bytes, /) -> int:
        raise OSError

    def flush(self) -> None:
        raise OSError


class Stack:
    """Observed and Admission around `work`."""

    def __init__(self, work: Work, maximum: int = 2, timeout_ms: int = 50, form: Form = "off") -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await work(send)

        self.metrics = Metrics()
        self.slots = Slots(maximum, timeout_ms)
        observer = Observer(self.metrics, AccessLog(form, Sink(), self.metrics.log_lines_lost.inc), ["/", "/open"])
        self._app = Observed(Admission(app, self.slots, frozenset(("/open",))), observer)

    async def request(self, path: str = "/") -> tuple[int, dict[bytes, bytes], bytes]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            raise AssertionError("must not be called")

        scope = {"type": "http", "method": "GET", "path": path, "raw_path": b"/", "query_string": b"", "headers": []}
        await self._app(scope, receive, send)
        return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]

    def refused(self, reason: str) -> float:
        return self.metrics.registry.get_sample_value("order_groups_api_refused_total", {"reason": reason}) or 0


async def answer(send: Send) -> None:
    await send(dict(START))
    await send(BODY)


async def work_long(send: Send) -> None:
    await asyncio.sleep(10)


def test_a_request_that_takes_too_long_gets_503_and_frees_its_slot() -> None:
    async def main() -> None:
        stack = Stack(work_long)
        for _ in range(3):
            status, headers, body = await stack.request()
            assert status == 503
            assert headers[b"retry-after"] == b"1"
            assert json.loads(body)["type"] == "unavailable"
            assert stack.slots.taken == 0
        assert stack.refused("request_timeout") == 3
        task = asyncio.current_task()
        assert task
        assert task.cancelling() == 0

    asyncio.run(main())


def test_each_request_has_its_own_time_limit() -> None:
    """They expire one after the other, by one timer."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        stack = Stack(work_long, maximum=100, timeout_ms=100)

        async def timed() -> float:
            began = loop.time()
            assert (await stack.request())[0] == 503
            return loop.time() - began

        tasks = []
        for _ in range(5):
            tasks.append(asyncio.create_task(timed()))
            await asyncio.sleep(0.03)
        assert all(0.09 < seconds < 0.5 for seconds in await asyncio.gather(*tasks))

    asyncio.run(main())


def test_an_answer_that_has_begun_has_no_time_limit_and_holds_no_slot() -> None:
    async def main() -> None:
        async def slow_reader(send: Send) -> None:
            await send(dict(START))
            assert stack.slots.taken == 0
            await asyncio.sleep(0.15)
            await send(BODY)

        stack = Stack(slow_reader)
        assert (await stack.request())[0] == 200

    asyncio.run(main())


def test_requests_beyond_the_maximum_get_503() -> None:
    async def main() -> None:
        release = asyncio.Event()

        async def wait(send: Send) -> None:
            await release.wait()
            await answer(send)

        stack = Stack(wait, timeout_ms=5000)
        working = [asyncio.create_task(stack.request()) for _ in range(2)]
        await asyncio.sleep(0)
        assert stack.slots.taken == 2
        status, headers, _ = await stack.request()
        assert (status, headers[b"retry-after"]) == (503, b"1")
        assert stack.refused("concurrency") == 1
        exempt = asyncio.create_task(stack.request("/open"))
        release.set()
        assert [status for status, _, _ in await asyncio.gather(*working, exempt)] == [200] * 3
        assert (await stack.request())[0] == 200
        assert stack.slots.taken == 0

    asyncio.run(main())


@pytest.mark.parametrize("fault", [ValueError("x"), TimeoutError("not ours"), KeyError("y")])
def test_a_fault_is_a_500_with_an_id_and_frees_its_slot(fault: Exception) -> None:
    async def main() -> None:
        async def fail(send: Send) -> None:
            raise fault

        stack = Stack(fail)
        status, headers, body = await stack.request()
        assert status == 500
        assert headers[b"x-request-id"]
        assert json.loads(body)["type"] == "unknown_error"
        assert stack.slots.taken == 0

    asyncio.run(main())


def test_a_cancellation_from_elsewhere_stays_one() -> None:
    async def main() -> None:
        stack = Stack(work_long, timeout_ms=5000)
        task = asyncio.create_task(stack.request())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert stack.slots.taken == 0

    asyncio.run(main())


def test_an_access_line_that_cannot_be_written_fails_no_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "api.access")

    async def main() -> None:
        stack = Stack(answer, form="json")
        assert (await stack.request())[0] == 200
        assert stack.metrics.registry.get_sample_value("order_groups_api_access_lines_lost_total") == 1

    asyncio.run(main())
