"""Events that could not be applied: kept beside the read model until they are redriven or discarded.

`record.py` is what is kept, `intake.py` parks, `redrive.py` applies afterwards.
"""
