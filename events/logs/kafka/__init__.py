"""The log in Kafka, or in what speaks its protocol.

Read as a member of a consumer group (`subscription.py`) or from given positions (`reader.py`).
"""
