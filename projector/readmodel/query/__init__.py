"""Answers lists and single groups: a `Query` is a value, `engine.py` answers it, `explain.py` says how.

`calls.py` makes the script calls of `lua/`, `mirror/` searches for `q`, `page/` puts the rows together.
"""
