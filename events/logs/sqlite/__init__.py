"""The log in an SQLite file, for one host.

`log.py` appends and reads, `subscription.py` follows the end.
"""
