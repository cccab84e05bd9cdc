"""AWS services as destinations: QStash delivers to the relay, which hands the event to one of them.

`deliver` is the verb, `handover` says how each kind takes an event.  It imports no other verb.
"""
