"""A replay: plan, build, verify and switch, each a step that can be repeated.

`replay.py` has the steps, `lease.py` makes sure that one process at a time takes them, `workers.py` starts the
processes that build.
"""
