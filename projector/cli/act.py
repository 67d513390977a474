"""`projector act`, which `projector run` starts when an operator has requested an action."""

import os
from contextlib import suppress

from projector.actions.execute import execute
from projector.cli.steps import connected, stop_on_signals
from projector.cli.wiring import DataDir, tune_collector
from projector.logs import configure_logs
from projector.replay.lease import Busy
from projector.settings import load_settings
from projector.up.child import stop_with_parent


def act(data_dir: DataDir = None) -> None:
    """Execute the actions that operators have requested through the API."""
    settings = load_settings(os.environ, data_dir=data_dir)
    configure_logs(settings.log_level, settings.log_format)
    stop = stop_on_signals()
    stop_with_parent()
    tune_collector()
    # Busy: another projector has begun meanwhile.
    with connected(settings) as (log, nodes), suppress(Busy):
        execute(log, nodes, settings, os.environ, stop)
