"""Benchmarks: printed and stored, never asserted. Each compares with a ceiling from the same run, what a
part reaches alone: ratios hold on other machines, seconds do not.
"""
