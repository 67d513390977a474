"""What every request passes through: metrics and access log, credentials, limits, admission.

`access.py` defines which routes need credentials; `incident.py` logs an outage of Redis in two lines.
"""
