"""Writing to Redis: the commit script, the Python around it, and the catalogue of generations.

`nodes.py` finds the server of a key, in one Redis or in a cluster.
"""
