"""What every request passes, whatever it asks: metrics and access log, credentials, limits, admission.

`access.py` says which routes need credentials; `incident.py` keeps what the log says of one outage to a few lines.
"""
