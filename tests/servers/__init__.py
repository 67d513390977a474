"""Real Redis and Kafka servers for the tests: finds, starts, kills and restarts them."""

import warnings

with warnings.catch_warnings():
    # At its import, kafka-python 3.0 uses functions that Python 3.11 and 3.12 deprecate.
    warnings.filterwarnings("ignore", "(read|open)_text is deprecated", DeprecationWarning)
    import events.logs.kafka.log  # noqa: F401
