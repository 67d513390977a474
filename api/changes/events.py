"""What a subscriber is sent: changes since its last event, and their form on the wire. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

import msgspec

from projector.readmodel.query.changes import IDS_MAX, Changes

HEADER = b"last-event-id"
HEARTBEAT = b":\n\n"
UNAVAILABLE = b'event: unavailable\ndata: {"message":"The order groups cannot be read at the moment. Try again."}\n\n'
# Longest Last-Event-ID in characters: 20 digits for each of the most shards.
ID_CHARACTERS_MAX = 32 * 1024

_ID = re.compile(r"(?P<nonce>[0-9A-Za-z_-]*):(?P<numbers>[0-9]{1,16}(?:\.[0-9]{1,16})*)", re.ASCII)
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class EventId:
    """`nonce`: of the generation. `numbers`: of the newest commit of each shard."""

    nonce: str
    numbers: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.nonce}:{'.'.join(map(str, self.numbers))}"


def event_id(changes: Changes) -> EventId:
    return EventId(changes.nonce, tuple(commit.number for commit in changes.commits))


def parse_event_id(headers: Iterable[tuple[bytes, bytes]]) -> EventId | str | None:
    """Returns the Last-Event-ID; its text if it is none of ours; None if there is none, or an empty one.

    `headers` have lower-case names. Of several, the last one counts.
    """
    text = ""
    for name, value in headers:
        if name == HEADER:
            text = value.decode("latin-1").strip()
    match = _ID.fullmatch(text) if len(text) <= ID_CHARACTERS_MAX else None
    if match is None:
        return text or None
    return EventId(match["nonce"], tuple(map(int, match["numbers"].split("."))))


@dataclass(frozen=True, slots=True)
class Page:
    """A list's count, and whether its page differs from that of the event before."""

    count: int
    changed: bool


@dataclass(frozen=True)
class Change:
    """`id`, `position`: of the read model after it. `ids`: of the changed groups; None if they are too many to name.

    `reset`: why it is not known what changed since the last event. `looked_s`: when the read model was looked at, by
    the clock of the event loop. Shared by subscribers, so it is encoded once.
    """

    id: EventId
    position: str
    ids: tuple[str, ...] | None = ()
    page: Page | None = None
    reset: str = ""
    looked_s: float = 0.0

    @cached_property
    def encoded(self) -> bytes:
        changed: dict[str, object] = {"ids": self.ids} if self.ids is not None else {"many": True}
        listed = {} if self.page is None else {"list": {"count": self.page.count, "changed": self.page.changed}}
        data = _encode({"position": self.position, **changed, **listed})
        event = b"id: %b\nevent: change\ndata: %b\n\n" % (str(self.id).encode(), data)
        return b"event: reset\ndata: %b\n\n%b" % (_encode({"reason": self.reset}), event) if self.reset else event


def merged(earlier: Change | None, later: Change) -> Change:
    """Returns both as one. Of a list, the page has changed if it has in one of them."""
    if earlier is None or later.reset:
        return later
    ids = None if earlier.ids is None or later.ids is None else _joined(earlier.ids, later.ids)
    page = later.page
    if page is not None and earlier.page is not None and earlier.page.changed:
        page = replace(page, changed=True)
    return replace(later, ids=ids, page=page, reset=earlier.reset)


def _joined(some: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...] | None:
    ids = tuple(islice(dict.fromkeys((*some, *more)), IDS_MAX + 1))
    return ids if len(ids) <= IDS_MAX else None
