"""Publishes the orders of a shop's PostgreSQL database: triggers note what changes, a relay publishes what was noted.

`mapping.py` says which tables there are, `schema.py` installs the triggers, `relay.py` is the loop, `check.py` compares
the tables with the list.
"""
