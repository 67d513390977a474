"""What an answer reflects, and what a client asks for: ETag, If-None-Match and X-Min-Position.

Requests that wait for a position are told of commits by one subscription for each process.
"""
