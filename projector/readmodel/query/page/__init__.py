"""From the replies of the shards to one page of rows.

Where to look in each shard, how their rows merge, and which records are read after them.
"""
