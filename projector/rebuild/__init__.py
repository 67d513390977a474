"""One process of a replay: it reads a part of the log and writes it into a generation that nobody reads yet.

`windows.py` reads, `parts.py` cuts, `builder.py` folds and writes.
"""
