"""The HTTP API: `app.py` has its routes, `server.py` and `workers.py` serve them, the folders are what they pass.

It reads through `projector.readmodel` and knows nothing else of the projector.
"""
