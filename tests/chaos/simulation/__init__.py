"""The real core and the real loop in a world of our own: its clock, its log, its store and all that goes wrong come
from one seed, so that what has happened once happens again.
"""
