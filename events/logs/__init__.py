"""What the projector needs of a log (`log.py`), and which log a URL means (`open.py`).

`kafka/` and `sqlite/` are the two that there are.
"""
