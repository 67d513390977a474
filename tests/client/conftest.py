import functools
from pathlib import Path

import pytest

from tests.client import node
from tests.conftest import without


@functools.cache
def _installed() -> Path | node.NoPackages:
    try:
        return node.installed()
    except node.NoPackages as error:
        return error


@pytest.fixture
def modules() -> Path:
    """The installed packages of package.json."""
    if missing := node.missing():
        without(f"there is no {' and no '.join(missing)}")
    found = _installed()
    if isinstance(found, node.NoPackages):
        without(f"the packages of tests/client/package.json cannot be had: {found}")
        raise AssertionError("skipped or failed by now")
    return found
