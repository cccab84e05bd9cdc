"""Which items the functions behind open routes may write: by partition key, as IAM's `dynamodb:LeadingKeys` has it.

Anybody reaches these functions.  Whoever found a hole in one could write what it writes, and nothing of what the relay
steers itself by: the keys that prove callbacks, leases, pauses, what QStash should hold.  `relay.storage.items` has the
keys.  No CDK here, so that tests of the functions hold every write to it: the local AWS knows no leading keys.
"""

from __future__ import annotations

EVENT = "rly_*"  # with its body, conflicts and deliveries
LEADING_KEYS = {
    # A source's redelivery of what had died is a replay; SEEN knows bytes again; the others are of who is refused, or
    # greets.
    "ingest": (EVENT, "SEEN#*", "REPLAY#*", "REFUSAL#*", "QUARANTINE#*", "HANDSHAKE"),
    "record": (EVENT, "ORPHAN#*", "COUNT"),
    "deliver": (EVENT,),
}
