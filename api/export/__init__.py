"""Exports of order groups as files: streamed, in the memory of some hundred groups.

`columns.py` and `files.py` are pure; `stream.py` sends; `route.py` is the route.
"""
