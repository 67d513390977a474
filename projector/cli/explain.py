"""`projector explain`: how the API answers a list, and how long it takes."""

import asyncio
import os
from typing import Annotated

import msgspec
import typer

from projector.cli.wiring import AsJson, DataDir, errors_of_reading, parsed_list
from projector.settings import load_settings


def explain(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="The query string of a list's URL.")],
    times: Annotated[
        int, typer.Option("--times", metavar="N", min=1, max=10_000, help="How often the query is run.")
    ] = 20,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show how a list is answered: plan, keys, numbers of groups, and time.

    Example: `projector explain 'status=pending&order=-total&limit=5'`
    """
    # Imported here, so that other commands start without the read engine.
    from api.config import REDIS_WAIT_MS
    from projector.cli import show_explain
    from projector.readmodel.query.explained import explained

    settings = load_settings(os.environ, data_dir=data_dir)
    parsed = parsed_list(query)
    with errors_of_reading(settings):
        found = asyncio.run(explained(settings.store_url, parsed, times, REDIS_WAIT_MS))
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        show_explain.explained(found)
