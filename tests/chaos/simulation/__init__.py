"""Runs the real core and the real main loop in a simulated world. Its clock, log, store and faults are determined by a
seed, so that every run can be repeated.
"""
