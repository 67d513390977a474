"""The log interface (`log.py`) and its two implementations, `kafka/` and `sqlite/`.

`open.py` picks the implementation by URL.
"""
