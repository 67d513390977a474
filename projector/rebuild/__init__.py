"""Building a generation: one process of a replay folds some partitions of the log into it.

`windows.py` reads the log, `parts.py` cuts what was read into script calls, `builder.py` folds and writes.
"""
