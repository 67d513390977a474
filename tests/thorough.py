"""Parameters with which a test is part of `make test-all` alone."""

import pytest


def thorough(*values: object) -> list[object]:
    """One parameter for each value; a tuple is one value for each name."""
    return [
        pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.thorough) for value in values
    ]
