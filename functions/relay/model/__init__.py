"""The nouns: events, deliveries, replays and refusals, and the ids and times that name them.

Pure: no I/O, no clock, no environment.  `delivery` holds the rules of a delivery's states.  It imports nothing of the
relay but itself, and everything else may import it.
"""
