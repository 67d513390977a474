"""The fold itself, pure: from order events to the state, the document and the index entries of a group.

`order.py` merges, `view.py` sums up, `state.py` packs.
"""
