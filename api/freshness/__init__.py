"""Freshness of answers: ETag and If-None-Match, X-Projection-Position and X-Min-Position.

Requests that wait for a position share one subscription to commits per process.
"""
