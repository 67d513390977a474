"""Events that could not be applied. They stay parked in the read model until they are redriven or discarded.

`record.py` is the stored form, `intake.py` limits and reports, `redrive.py` applies or discards them later.
"""
