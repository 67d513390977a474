"""`projector explain`: how the API answers a list, and how long it takes."""

import asyncio
import os
from typing import Annotated

import msgspec
import typer

from projector.cli.wiring import AsJson, DataDir, advise_if_not_running
from projector.errors import BadSetting, FatalError, StoreUnavailable
from projector.readmodel.client.errors import ReadModelFault, Unavailable
from projector.settings import load_settings


def explain(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="The query string of a list's URL.")],
    times: Annotated[int, typer.Option("--times", min=1, max=10_000, help="How often the query is run.")] = 20,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show how a list is answered: plan, keys, numbers of groups, and time."""
    # Imported here, so that other commands start without the read engine.
    from api.config import REDIS_WAIT_MS
    from api.params.query import InvalidRequest, parse_list
    from projector.cli import show_explain
    from projector.readmodel.query.explained import explained

    settings = load_settings(os.environ, data_dir=data_dir)
    parsed = parse_list(query.removeprefix("?"))
    if isinstance(parsed, InvalidRequest):
        raise BadSetting(f"{query}: {parsed.message}")
    with advise_if_not_running(settings):
        try:
            found = asyncio.run(explained(settings.store_url, parsed, times, REDIS_WAIT_MS))
        except Unavailable as error:
            raise StoreUnavailable(str(error)) from None
        except ReadModelFault as error:
            raise FatalError(f"the read model is inconsistent: {error}. Run projector verify") from None
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        show_explain.explained(found)
