"""HTTP below the application: sockets, the wire protocol with its limits, and the slot of each worker process.

Incomplete requests are refused here, complete ones by `api/middleware/`.
"""
