"""Writes AsyncAPI and JSON Schema into a folder: `python -m events.contract docs`."""

import sys
from pathlib import Path

from events.contract.schemas import write

write(Path(sys.argv[1]))
