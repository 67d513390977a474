"""The scripts that read, one file each; `scripts.py` puts them together and knows their digests.

`parts/` has what several of them share.
"""
