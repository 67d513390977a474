"""Parses a query string to a `Query`, or to the issues in it, worded as Medusa does.

`tree.py` parses brackets as `qs` does; `operators.py` and `fields.py` parse the values.
"""
