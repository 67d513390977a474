"""Measurements, printed and kept, never asserted. Each has a floor from the same run: ratios hold, seconds do not."""
