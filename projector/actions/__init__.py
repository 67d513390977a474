"""Executes the actions that operators request through the API, each in a child process of a projector.

`watcher.py`: a thread that starts the child. `execute.py` takes the requests from `book.py`, one at a time over all
projectors. `observe.py` reads the state that must be as expected. `perform.py` executes an action; `foresee.py`
describes what it would do, for a dry run.
"""
