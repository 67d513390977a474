"""Verification: is a generation equal to the log, to another generation, and to its own records?

`compare.py` and `selfcheck.py` are the entry points; `expected.py` computes what is expected, `shards.py` reads Redis.
"""
