"""`projector list` and `projector get`: what the API would answer, straight from Redis.

Like `projector explain` and `status`, they do not use HTTP: they need no address, no token and no running API. So they
show an operator the read model while the API does not answer. `curl` shows what clients get.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeVar
from urllib.parse import quote

import typer

from projector.cli.wiring import DataDir, errors_of_reading, parsed_list
from projector.errors import BadSetting
from projector.readmodel.client.errors import Unavailable
from projector.settings import Settings, load_settings

if TYPE_CHECKING:
    from projector.cli.show_list import Page
    from projector.readmodel.query.engine import Engine

# Seconds between two looks at whether a watched list has changed.
WATCH_S = 1.0

T = TypeVar("T")


class Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def list_groups(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="The query string of a list's URL.")] = "",
    form: Annotated[Format, typer.Option("--format", help="How to print the page.")] = Format.TABLE,
    watch: Annotated[bool, typer.Option("--watch", help="Print it again whenever it changes, until Ctrl-C.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Show a page of the list, as the API answers it.

    Example: `projector list 'status=pending&order=-total&limit=5'`
    """
    # Imported here, so that other commands start without the read engine.
    from api.splice import documents
    from projector.cli.show_list import Page, shown

    settings = load_settings(os.environ, data_dir=data_dir)
    parsed = parsed_list(query)

    async def page(engine: "Engine") -> "Page":
        if parsed.needle:
            await engine.mirror()
        answer = await engine.list(parsed)
        return Page(parsed, answer, await documents(parsed, answer.rows, answer.records))

    async def once(engine: "Engine") -> None:
        shown(await page(engine), form)

    async def again(engine: "Engine") -> None:
        content = body = b""
        while True:
            try:
                if not content or (await engine.snapshot()).content != content:
                    found = await page(engine)
                    before, content, body = body, found.answer.snapshot.content, found.body
                    if body != before:
                        shown(found, form, clear=True)
            except Unavailable as error:
                print(f"projector: {error}", file=sys.stderr)
            await asyncio.sleep(WATCH_S)

    try:
        _run(settings, again if watch else once)
    except KeyboardInterrupt:
        # The end of a watch.
        return


def get(
    group_id: Annotated[str, typer.Argument(metavar="ID", help="Of the order group.")],
    fields: Annotated[
        str | None, typer.Option("--fields", metavar="NAMES", help="As the API's parameter.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Show one order group with its orders, as JSON.

    Example: `projector get og_1 --fields 'total,orders.status'`
    """
    from api.params.query import parse_one
    from api.splice import document_of, pick
    from projector.cli.show_list import one

    settings = load_settings(os.environ, data_dir=data_dir)
    wanted = parse_one("" if fields is None else f"fields={quote(fields)}")

    async def found(engine: "Engine") -> bytes | None:
        return (await engine.one(group_id)).record

    record = _run(settings, found)
    if record is None:
        raise BadSetting(f"OrderGroup id not found: {group_id}")
    one(pick(document_of(group_id, record, with_relations=bool(wanted.relations)), wanted, None))


def _run(settings: Settings, use: "Callable[[Engine], Awaitable[T]]") -> T:
    """Returns the result of `use`, which gets an engine. Raises ProjectorError."""
    from api.config import REDIS_WAIT_MS
    from projector.readmodel.query.engine import Engine

    async def used() -> T:
        engine = Engine(settings.store_url, REDIS_WAIT_MS, connections_max=1, ready_lag_max=0)
        try:
            return await use(engine)
        finally:
            await engine.close()

    with errors_of_reading(settings):
        return asyncio.run(used())
