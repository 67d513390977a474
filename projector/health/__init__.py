"""What a running projector says of itself: metrics, readiness, and the port that serves both.

`pulse.py` collects it, `watch.py` is what the loop reports to.
"""
