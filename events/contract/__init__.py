"""What order events hold: structs, their decoder, and what it says of events that are wrong.

`python -m events.contract docs` writes the contract as AsyncAPI and JSON Schema, made from the same structs.
"""
