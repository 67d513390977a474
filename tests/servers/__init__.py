"""Real Redis and Kafka servers for the tests: which there are here, and how to start, kill and restart them."""

import warnings

with warnings.catch_warnings():
    # While it is imported, kafka-python 3.0 reads its schemas in a way that Python 3.11 and 3.12 call deprecated.
    warnings.filterwarnings("ignore", "(read|open)_text is deprecated", DeprecationWarning)
    import events.logs.kafka.log  # noqa: F401
