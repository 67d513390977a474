"""Metrics and readiness of a running projector, and the HTTP port that serves both.

The main loop reports to `watch.py`; `pulse.py` holds the state, `metrics.py` the counters.
"""
