"""The stream of changes: `GET /admin/order-groups/changes`, as Server-Sent Events.

One task of a process reads what commits changed, for all subscribers; another one reads the lists that they ask for,
each once, however many ask for it.
"""
