"""Building a generation: `bulk.py` writes windows of the log with plain commands, since nobody reads it yet.

`builder.py` lets a generation that is built catch up by ordinary commits, since by then it is compared, or read.
"""
