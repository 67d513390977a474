"""The log in a file of SQLite, for one host.

It takes events, gives them to a reader, and to one subscription that follows its end.
"""
