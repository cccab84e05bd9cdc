"""Writes what the documentation shows of a run: `recording` is the picture of the demo in the README.

Nothing of the relay imports this package.
"""
