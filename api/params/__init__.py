"""From a query string to a `Query`, or to what is wrong with it, in Medusa's words.

`tree.py` reads brackets as `qs` does; `operators.py` and `fields.py` read the values.
"""
