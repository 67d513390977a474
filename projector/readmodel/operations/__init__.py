"""What operators see, read from Redis alone: the pipeline, parked events, actions.

For the API. `pipeline.py` puts together what projectors store, `parked.py` pages through parked events, `actions.py`
requests actions and reads their answers.
"""
