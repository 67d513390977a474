"""HTTP below the application: sockets, the wire protocol with its limits, and the place of each worker process.

What must be refused while it still arrives is refused here; `api/middleware/` refuses the rest.
"""
