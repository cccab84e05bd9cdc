"""AWS services as destinations: QStash delivers to the relay, which hands the event to one of them.

`deliver` is the verb, `kinds` has a row for each service, `handover` gives one a delivery.  It imports no other verb.
"""
