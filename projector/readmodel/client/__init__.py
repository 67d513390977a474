"""Sends commands to all shards of the live generation, on one Redis, a Sentinel's master or a cluster.

Handles connections, deadlines, refusals of Redis, and changes of the live generation.
"""
