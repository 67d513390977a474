"""What is found out before the call that answers a list, in small calls.

Groups whose text has `q` in it (`search.py`), and filters of many small values (`gather.py`), as bitmaps.
"""
