"""What became of each delivery: reports are recorded, silence is followed up, and the sums must balance.

`record` takes QStash's callbacks, `in_flight` asks QStash's log about deliveries that never reported, `balance` counts
expected against known, `canaries` times a schedule's way.  It imports no other verb.
"""
