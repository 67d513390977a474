"""The record of a group: its orders with a revision for each field, and all that follows from them.

`state.py` encodes records, `view.py` aggregates the orders into what is listed, `document.py` renders that as JSON.
"""
