"""Whether a generation is what the log says, what another one is, and what its own states say.

`compare.py` and `selfcheck.py` ask; `expected.py` and `shards.py` are the two sides.
"""
