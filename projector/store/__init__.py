"""Writes to Redis: the commit script and its callers, and the catalogue of generations.

`nodes.py` finds the server of a key, in a single Redis or in a cluster.
"""
