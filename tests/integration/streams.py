"""Server-Sent Events over a socket, parsed after the HTML standard, and commits that cause them."""

import json
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple

from projector.readmodel.schema.keys import Generation
from projector.store.redis import Store
from tests.integration.parking import apply, records
from tests.integration.raw import AUTHORIZATION
from tests.poison import event

PATH = "/admin/order-groups/changes"


class Event(NamedTuple):
    """`id`: the last one that the stream has set."""

    kind: str
    id: str
    data: Any


class Stream:
    """An open stream. Each call waits at most `timeout_s` for the next bytes."""

    def __init__(self, port: int, query: str = "", last: str = "", timeout_s: float = 20.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        self.id = ""
        self._raw = b""
        self._text = b""
        self.has_last_chunk = False
        resumed = f"Last-Event-ID: {last}\r\n".encode() if last else b""
        target = PATH + (f"?{query}" if query else "")
        self.socket.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n".encode() + AUTHORIZATION + resumed + b"\r\n")
        while b"\r\n\r\n" not in self._raw:
            data = self.socket.recv(65536)
            assert data, "closed without an answer"
            self._raw += data
        head, self._raw = self._raw.split(b"\r\n\r\n", 1)
        status, *lines = head.decode().split("\r\n")
        self.status = int(status.split()[1])
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def body(self) -> Any:
        """Returns the JSON of a refusal."""
        length = int(self.headers["content-length"])
        while len(self._raw) < length:
            self._raw += self.socket.recv(65536)
        return json.loads(self._raw[:length])

    def next(self) -> Event | None:
        """Returns the next event; None at the end of the stream. Comments are passed over."""
        while True:
            while b"\n\n" not in self._text:
                if not self._chunk():
                    assert self._text == b"", f"half an event: {self._text!r}"
                    return None
            block, self._text = self._text.split(b"\n\n", 1)
            fields = dict(line.split(": ", 1) for line in block.decode().split("\n") if not line.startswith(":"))
            self.id = fields.get("id", self.id)
            if "data" in fields:
                return Event(fields.get("event", "message"), self.id, json.loads(fields["data"]))

    def got(self) -> Event:
        found = self.next()
        assert found is not None, "the stream has ended"
        return found

    def until(self, ids: set[str]) -> list[Event]:
        """Returns the events up to that with which all these ids have come."""
        found: list[Event] = []
        left = set(ids)
        while left:
            found.append(self.got())
            left -= set(found[-1].data.get("ids", ()))
        return found

    def _chunk(self) -> bool:
        while (end := self._raw.find(b"\r\n")) < 0:
            if not self._more():
                return False
        length = int(self._raw[:end], 16)
        while len(self._raw) < end + 2 + length + 2:
            if not self._more():
                return False
        self._text += self._raw[end + 2 : end + 2 + length]
        self._raw = self._raw[end + 4 + length :]
        self.has_last_chunk = length == 0
        return length > 0

    def _more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self._raw += data
        return data != b""


class Writer:
    """Commits events as the main loop does, each of a group of its own."""

    def __init__(self, store: Store, shards: int = 1) -> None:
        self.store = store
        self.generation: Generation = store.generation(shards)
        self.offset = 0

    def write(self, number: int = 1, **data: Any) -> set[str]:
        """Returns the ids of new groups, or of those in `data`."""
        events = [event(self.offset + i, **data) for i in range(number)]
        return self.write_events(events)

    def write_events(self, events: Sequence[dict[str, Any]]) -> set[str]:
        apply(self.store, self.generation, records(events, self.offset))
        self.offset += len(events)
        return {one["data"]["order_group_id"] for one in events}
