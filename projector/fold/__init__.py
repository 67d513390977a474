"""The fold, pure: merges order events into the orders of a group."""
