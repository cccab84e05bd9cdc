"""Items that the functions behind open routes may write, by partition key, as IAM's `dynamodb:LeadingKeys` has them.

Anybody reaches these functions.  An attacker who found a hole in one could write its items, and none of those that
steer the relay: the keys that prove callbacks, leases, pauses, the desired resources of QStash.  `relay.storage.items`
has the keys.  No CDK here, so that tests check every write of the functions: the local AWS knows no leading keys.
"""

from __future__ import annotations

EVENT = "rly_*"  # with its body, conflicts and deliveries
LEADING_KEYS = {
    # REPLAY: a redelivery reopens dead deliveries as a replay.  SEEN: bytes that came before.  The others: refused
    # requests, and handshakes.
    "ingest": (EVENT, "SEEN#*", "REPLAY#*", "REFUSAL#*", "QUARANTINE#*", "HANDSHAKE"),
    "record": (EVENT, "ORPHAN#*", "COUNT"),
    "deliver": (EVENT,),
}
