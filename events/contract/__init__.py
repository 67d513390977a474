"""The event contract: structs of order events, their decoder, and its errors.

`python -m events.contract docs` writes the contract as AsyncAPI and JSON Schema, generated from the same structs.
"""
