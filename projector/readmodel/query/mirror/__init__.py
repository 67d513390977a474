"""The text of all groups in the memory of this process, in which `q` is searched.

`text.py` is pure. `shard.py` reads a shard's text from Redis, `mirrors.py` those of the generations that are needed.
"""
