"""What a person has delivered again, or held back.

`deliveries` starts new generations, `bulk` goes through many of them at a rate, `pauses` holds what comes for a
destination.  It imports no other verb.
"""
