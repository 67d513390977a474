"""Writes openapi.json into a folder: `python -m api.openapi docs`."""

import sys
from pathlib import Path

from api.openapi.document import rendered

(Path(sys.argv[1]) / "openapi.json").write_text(rendered(), encoding="utf-8")
