"""`projector up`: the embedded Redis, the projector and the API as one tree of processes.

`valkey.py` starts Redis, `child.py` our own processes, `demo.py` publishes sample orders,
`served.py` asks the API.
"""
