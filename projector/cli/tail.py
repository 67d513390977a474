"""`projector tail`: prints changes as they come."""

import http.client
import os
import sys
import time
from collections.abc import Iterator
from typing import Annotated, NamedTuple

import msgspec
import typer

from projector.cli.remote import ApiUnavailable, get, remote
from projector.cli.wiring import DataDir
from projector.settings import Settings, load_settings

PATH = "/admin/order-groups/changes"
# Seconds without a byte after which the connection is taken for broken; the API sends one every 15 s.
SILENT_S = 40.0
# Seconds before a stream that has ended is opened again.
PAUSE_S = 1.0


class Event(NamedTuple):
    """`id`: empty if the event has none. `data`: JSON."""

    kind: str
    id: str
    data: bytes


def tail(
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="The query string of a list, whose count and page are followed.")
    ] = "",
    last_id: Annotated[
        str, typer.Option("--last-id", metavar="ID", help="Go on after this event.", show_default=False)
    ] = "",
    data_dir: DataDir = None,
) -> None:
    """Print changes of order groups as they come, a JSON line each, until Ctrl-C.

    Example: `projector tail 'status=pending&order=-total&limit=5'`
    """
    settings = load_settings(os.environ, data_dir=data_dir)
    query, has_answered = query.removeprefix("?"), False
    while True:
        pause_s = PAUSE_S
        try:
            for event in _stream(settings, query, last_id):
                has_answered = True
                last_id = event.id or last_id
                line = {"event": event.kind, "id": event.id or None, **msgspec.json.decode(event.data)}
                print(msgspec.json.encode(line).decode(), flush=True)
            print("projector: the stream has ended: connecting again", file=sys.stderr)
        except ApiUnavailable as error:
            # The first time, it is more likely that the address is wrong.
            if not has_answered:
                raise
            pause_s = error.retry_after_s
            print(f"projector: {error}: connecting again", file=sys.stderr)
        time.sleep(pause_s)


def _stream(settings: Settings, query: str, last_id: str) -> Iterator[Event]:
    """Raises BadSetting, ApiUnavailable."""
    headers = {"Last-Event-ID": last_id} if last_id else {}
    target = f"{PATH}?{query}" if query else PATH
    with get(remote(settings), target, headers, SILENT_S) as response:
        try:
            yield from events(response)
        except (OSError, http.client.HTTPException) as error:
            raise ApiUnavailable(f"the connection was lost: {error or type(error).__name__}") from None


def events(lines: Iterator[bytes]) -> Iterator[Event]:
    """Parses Server-Sent Events as the API writes them: one line of data, line feeds, no blanks but after a colon."""
    fields: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.rstrip(b"\n").partition(b": ")
        if name:
            fields[name] = value
            continue
        if b"data" in fields:
            yield Event(fields.get(b"event", b"message").decode(), fields.get(b"id", b"").decode(), fields[b"data"])
        fields = {}
