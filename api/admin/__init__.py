"""`/admin/projector/...`: what operators see and do. JSON, with a Bearer token or key of an operator alone.

The API only reads Redis, and appends requests: a projector executes them. See projector/readmodel/operations/.
"""
