"""Replays and pauses: what a person starts, and stops.

`deliveries` replays named deliveries, `bulk` replays all that a query finds, at a rate, `pauses` ends the pause of a
destination.  It imports no other verb.
"""
