"""Reads all shards of one generation at one instant, from one Redis, a Sentinel's master or a cluster.

Connections, deadlines, refusals of Redis, and which generation is live are its business; queries are not.
"""
