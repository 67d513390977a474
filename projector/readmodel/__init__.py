"""The read model in Redis: its schema, the client that reads it, and the queries on it.

Of this project it imports `events.contract` and itself, so that `projector` and `api` can both build on it.
"""
