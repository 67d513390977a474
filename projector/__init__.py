"""The write side: folds order events into order-group documents and indexes in Redis.

`run.py` is the main loop, `pipeline.py` overlaps loading, folding and committing; the API shares `readmodel/`.
"""
