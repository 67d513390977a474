"""The fold, pure: from order events to a group's state, document and index entries.

`order.py` merges events, `view.py` aggregates orders, `state.py` encodes them.
"""
