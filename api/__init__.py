"""The HTTP API: `app.py` defines the routes, `server.py` and `workers.py` run the server.

Of the projector it imports only `projector.readmodel`.
"""
