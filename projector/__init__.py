"""The write side: order events are folded into order-group documents and indexes in Redis.

`run.py` has the loop, `pipeline.py` what is under way in it; `readmodel/` is shared with the API.
"""
