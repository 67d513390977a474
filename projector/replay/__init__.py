"""A replay: plan, build, verify, switch, each a step that can be repeated.

`replay.py` has the steps, `lease.py` lets one process at a time take them, `workers.py` runs those that build.
"""
